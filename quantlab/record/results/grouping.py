"""Makes groups of the field: medians of each plan, and the Pareto front within each group.

A line has the medians over the runs that did not fail, and the highest peak. A front weighs only
lines of its own group, so that it never mixes evidence, machines or settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Literal, NamedTuple

import pandas as pd

from quantlab.record.results.groups import Group, Line
from quantlab.record.sweeps.statistics import Point, on_front
from quantlab.words.settings import SETTINGS, Value

__all__ = ["ORDERS", "Order", "groups"]

Order = Literal["newest", "plan", "memory", "peak", "latency", "fidelity"]


def _low(value: float | None) -> float:
    return math.inf if value is None else value


ORDERS: Mapping[Order, Callable[[Line], Any]] = {
    "newest": lambda line: line.measured_at,
    "plan": lambda line: line.plan,
    "memory": lambda line: _low(line.weights_bytes),
    "peak": lambda line: _low(line.peak_bytes),
    "latency": lambda line: _low(line.latency_s),
    "fidelity": lambda line: -math.inf if line.fidelity is None else line.fidelity,
}
"""Ways to sort the lines of a group; newest and fidelity have the highest first."""


class Run(NamedTuple):
    """What is needed of a line of the field. Numbers that are not known are NaN."""

    group: str
    plan: str
    role: str
    status: str
    error: str
    result: str
    measured_at: str
    prompt: str
    seed: float
    source: str
    identical: bool
    across_modes: bool
    peak_kind: str
    weights_bytes: float
    peak_bytes: float
    latency_s: float
    psnr_db: float
    ssim: float
    transformer_rel_l2: float


def _runs(frame: pd.DataFrame) -> Iterator[Run]:
    counts = {name: frame[name].astype("float64") for name in frame.select_dtypes("Int64")}
    columns = [counts.get(name, frame[name]).tolist() for name in Run._fields]
    return map(Run._make, zip(*columns, strict=True))


def groups(frame: pd.DataFrame, order: Order = "newest") -> list[Group]:
    """The groups of a frame of ``field``; measured ones first, then the newest first."""
    gathered: dict[str, dict[tuple[str, str], list[Run]]] = {}
    first: dict[str, int] = {}
    for index, run in enumerate(_runs(frame)):
        first.setdefault(run.group, index)
        gathered.setdefault(run.group, {}).setdefault((run.plan, run.role), []).append(run)
    found = []
    for key, plans in gathered.items():
        group = _group(frame.iloc[first[key]], list(plans.values()))
        found.append(replace(group, lines=_sorted(_with_front(group), order)))
    by_time = sorted(found, key=lambda group: group.measured_at, reverse=True)
    return sorted(by_time, key=lambda group: group.evidence != "measured")


def _sorted(lines: list[Line], order: Order) -> tuple[Line, ...]:
    down = order in ("newest", "fidelity")
    by_name = sorted(lines, key=lambda line: (line.plan, line.role))
    return tuple(sorted(by_name, key=ORDERS[order], reverse=down))


def _line(runs: Sequence[Run]) -> Line:
    """All runs of one plan, the newest first as they come, as a line."""
    good = [run for run in runs if run.status == "ok"]
    bad = [run for run in runs if run.status != "ok"]
    return Line(
        plan=runs[0].plan,
        role=runs[0].role,
        runs=len(runs),
        failed=len(bad),
        error=bad[0].error if bad else "",
        weights_bytes=_median(run.weights_bytes for run in good),
        peak_bytes=max(_known(run.peak_bytes for run in good), default=None),
        peak_kind=next((run.peak_kind for run in good if run.peak_kind), ""),
        latency_s=_median(run.latency_s for run in good),
        psnr_db=_median(run.psnr_db for run in good),
        ssim=_median(run.ssim for run in good),
        transformer_rel_l2=_median(run.transformer_rel_l2 for run in good),
        identical=bool(good) and all(run.identical for run in good),
        across_modes=any(run.across_modes for run in good),
        measured_at=max(run.measured_at for run in runs),
        results=tuple(run.result for run in runs if run.result),
    )


def _median(values: Iterable[float]) -> float | None:
    known = _known(values)
    return median(known) if known else None


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _group(first: pd.Series[Any], plans: Sequence[Sequence[Run]]) -> Group:
    """A group of the runs of each plan; ``first`` is any line of the field in it."""
    runs = [run for each in plans for run in each]
    pairs: dict[str, set[tuple[str, float]]] = {}
    for run in runs:
        pairs.setdefault(run.plan, set()).add((run.prompt, run.seed))
    versions = {
        str(name).removeprefix("version_"): str(value)
        for name, value in first.items()
        if str(name).startswith("version_") and value
    }
    return Group(
        key=str(first["group"]),
        evidence=str(first["evidence"]),
        model=str(first["model"]),
        machine=str(first["machine"]),
        versions=versions,
        settings=_settings(first),
        reference=str(first["reference"]),
        offload=str(first["offload"]),
        source=", ".join(dict.fromkeys(run.source for run in runs)),
        url=str(first["url"]),
        checked=str(first["checked"]),
        runs=len(runs),
        pairs=len(set().union(*pairs.values())),
        same_pairs=len(set(map(frozenset, pairs.values()))) == 1,
        measured_at=max(run.measured_at for run in runs),
        lines=tuple(_line(each) for each in plans),
    )


def _settings(first: pd.Series[Any]) -> dict[str, Value]:
    """Those of a line that are known, as plain values."""
    kinds: dict[str, Callable[[Any], Value]] = {"text": str, "whole": int, "number": float}
    rows = (row for row in SETTINGS if not row.swept)
    known = {row: first[row.key] for row in rows if row.key in first}
    return {
        row.key: kinds[row.kind](value)
        for row, value in known.items()
        if not pd.isna(value) and value != ""
    }


def _with_front(group: Group) -> list[Line]:
    """Lines with ``front`` set: fewer bytes, fewer seconds and more dB are better.

    Where nothing is known of fidelity, only bytes and seconds are weighed.
    """
    front = on_front([_point(group, line) for line in group.lines])
    return [replace(line, front=on) for line, on in zip(group.lines, front, strict=True)]


def _point(group: Group, line: Line) -> Point | None:
    memory = group.memory(line)
    fidelity = line.fidelity if group.has_fidelity else 0.0
    if line.role == "again" or memory is None or line.latency_s is None or fidelity is None:
        return None
    return Point(memory, line.latency_s, fidelity)
