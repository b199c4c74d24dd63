"""Makes groups of the field: medians of each plan, and the Pareto front within each group.

A line has the medians over the runs of one plan that did not fail (of one content where it is a mix
that was tuned anew), that of PSNR with its interval, and the
highest peak. A front weighs only lines of its own group, so that it never mixes evidence, machines
or settings; by PSNR it ranks nothing whose intervals overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import pandas as pd

from quantlab.record.results.groups import Group, Line
from quantlab.record.results.together import Run, together
from quantlab.record.sweeps.statistics import Point, interval, on_front
from quantlab.record.sweeps.table import setting_column
from quantlab.words.metrics import METRICS
from quantlab.words.outcome_text import BUSY
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


class _Told(NamedTuple):
    """What is needed of a line of the frame beside its metrics. A number not known is NaN."""

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
    others_cpu: float
    mixes: str


class _Line(NamedTuple):
    """A line of the frame."""

    told: _Told
    figures: dict[str, float]

    @property
    def run(self) -> Run:
        """What ``together`` needs of it."""
        t = self.told
        return Run(t.status, t.error, t.identical, t.across_modes, t.peak_kind, self.figures)


_KEYS = tuple(row.key for row in METRICS)


def _lines(frame: pd.DataFrame) -> Iterator[_Line]:
    counts = {name: frame[name].astype("float64") for name in frame.select_dtypes("Int64")}
    columns = [counts.get(name, frame[name]).tolist() for name in (*_Told._fields, *_KEYS)]
    split = len(_Told._fields)
    for values in zip(*columns, strict=True):
        known = zip(_KEYS, values[split:], strict=True)
        yield _Line(_Told._make(values[:split]), {k: v for k, v in known if not math.isnan(v)})


def groups(frame: pd.DataFrame, order: Order = "newest") -> list[Group]:
    """The groups of a frame of ``field``; measured ones first, then the newest first."""
    gathered: dict[str, dict[tuple[str, ...], list[_Line]]] = {}
    first: dict[str, int] = {}
    for index, line in enumerate(_lines(frame)):
        told = line.told
        first.setdefault(told.group, index)
        key = told.plan, told.role, told.mixes
        gathered.setdefault(told.group, {}).setdefault(key, []).append(line)
    found = []
    for name, plans in gathered.items():
        group = _group(frame.iloc[first[name]], list(plans.values()))
        found.append(replace(group, lines=_sorted(_with_front(group), order)))
    by_time = sorted(found, key=lambda group: group.measured_at, reverse=True)
    return sorted(by_time, key=lambda group: group.evidence != "measured")


def _sorted(lines: list[Line], order: Order) -> tuple[Line, ...]:
    down = order in ("newest", "fidelity")
    by_name = sorted(lines, key=lambda line: (line.plan, line.role))
    ordered = sorted(by_name, key=ORDERS[order], reverse=down)
    return tuple(sorted(ordered, key=lambda line: line.failed == line.runs))  # failures come last


def _line(found: Sequence[_Line]) -> Line:
    """All runs of one plan, the newest first as they come, as a line."""
    all_of, told = together([line.run for line in found]), [line.told for line in found]
    return Line(
        plan=told[0].plan,
        role=told[0].role,
        runs=all_of.runs,
        failed=all_of.failed,
        error=all_of.error,
        figures=all_of.figures(),
        peak_kind=all_of.peak_kind,
        identical=all_of.all_identical,
        across_modes=all_of.across_modes,
        measured_at=max(each.measured_at for each in told),
        results=tuple(each.result for each in told if each.result),
        psnr_interval=_interval(all_of.values["psnr_db"]),
        busy=_busy([each.others_cpu for each in told]),
    )


def _interval(values: tuple[float, ...]) -> tuple[float, float] | None:
    low, high = interval(values)
    return None if low is None or high is None else (low, high)


def _busy(shares: Sequence[float]) -> bool:
    """Whether others had much of the processor in half of the runs that say so."""
    known = sorted(share for share in shares if not math.isnan(share))
    return bool(known) and known[len(known) // 2] >= BUSY


def _group(first: pd.Series[Any], plans: Sequence[Sequence[_Line]]) -> Group:
    """A group of the runs of each plan; ``first`` is any line of the field in it."""
    runs = [line.told for each in plans for line in each]
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
    kinds: dict[str, Callable[[Any], Value]]
    kinds = {"text": str, "whole": int, "number": float, "flag": bool}
    rows = (row for row in SETTINGS if not row.swept)
    columns = ((row, setting_column(row.key)) for row in rows)
    known = {row: first[name] for row, name in columns if name in first}
    return {
        row.key: kinds[row.kind](value)
        for row, value in known.items()
        if not pd.isna(value) and value != ""
    }


def _with_front(group: Group) -> list[Line]:
    """Lines with ``front`` set: fewer bytes, fewer seconds and more dB are better.

    Where nothing is known of fidelity, only bytes and seconds are weighed; where all that is known
    is of one picture there is no front.
    """
    if group.one_picture:
        return list(group.lines)
    front = on_front([_point(group, line) for line in group.lines])
    return [replace(line, front=on) for line, on in zip(group.lines, front, strict=True)]


def _point(group: Group, line: Line) -> Point | None:
    memory = group.memory(line)
    bounds = line.fidelity_bounds if group.has_fidelity else (0.0, 0.0)
    if line.role == "again" or memory is None or line.latency_s is None or bounds is None:
        return None
    return Point(memory, line.latency_s, *bounds)
