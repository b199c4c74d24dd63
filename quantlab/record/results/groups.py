"""What belongs side by side: a group of plans under the same circumstances, as plain values.

A group never mixes evidence, models, machines, versions or settings. A line stands for all runs of
one plan in its group. results/grouping.py makes them of the field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from quantlab.record.results.export import Table, Value
from quantlab.record.sweeps.statistics import known_bounds
from quantlab.words.metrics import METRICS
from quantlab.words.outcome_text import modes_text
from quantlab.words.settings import Value as Setting
from quantlab.words.settings import described
from quantlab.words.units import GIB, MIB

__all__ = ["Group", "Line", "between", "table"]


@dataclass(frozen=True)
class Line:
    """One plan in a group. ``role`` as in ``sweep_table.tidy``; ``error`` is the latest failure.

    ``identical`` means that every image equals the reference's: PSNR is then None, as it is where
    nothing is known. ``across_modes`` means that a score of it is of an eager plan against a
    compiled one, or the reverse. ``results`` are ids of the store, the newest first.
    """

    plan: str
    role: str
    runs: int
    failed: int
    error: str
    figures: Mapping[str, float]
    """What stands for all runs of each metric that is known, by key."""
    peak_kind: str
    identical: bool
    across_modes: bool
    measured_at: str
    results: tuple[str, ...]
    psnr_interval: tuple[float, float] | None = None
    """Ends of the 95 % interval of the median PSNR in dB; None for fewer than two runs of it."""
    front: bool = False
    busy: bool = False
    """Whether its seconds were taken while others had much of the processor."""

    @property
    def weights_bytes(self) -> float | None:
        """Of all components."""
        return self.figures.get("weights_bytes")

    @property
    def peak_bytes(self) -> float | None:
        """The highest of all runs."""
        return self.figures.get("peak_bytes")

    @property
    def latency_s(self) -> float | None:
        """The median over the runs."""
        return self.figures.get("latency_s")

    @property
    def psnr_db(self) -> float | None:
        """The median over the runs whose images differ from the reference's."""
        return self.figures.get("psnr_db")

    @property
    def fidelity_bounds(self) -> tuple[float, float] | None:
        """Between which its fidelity lies: exact for the reference and what equals it, unbounded
        for what a single picture says; None: nothing is known."""
        if self.fidelity is None:
            return None
        if math.isinf(self.fidelity):
            return math.inf, math.inf
        return known_bounds(*(self.psnr_interval or (None, None)))

    @property
    def fidelity(self) -> float | None:
        """PSNR in dB, infinite for the reference and for what equals it; None: not known."""
        if self.latency_s is None:
            return None
        if self.role == "reference" or (self.identical and self.psnr_db is None):
            return math.inf
        return self.psnr_db


@dataclass(frozen=True)
class Group:
    """Lines whose numbers belong side by side, and what they have in common."""

    key: str
    evidence: str
    model: str
    machine: str
    versions: Mapping[str, str]
    settings: Mapping[str, Setting]
    """Those that all of its runs share and that are known."""
    reference: str
    offload: str
    source: str
    url: str
    checked: str
    runs: int
    pairs: int
    same_pairs: bool
    """Whether all plans were run on the same prompts and seeds; else fidelity compares roughly."""
    measured_at: str
    """Of its newest run; empty for what others have published."""
    lines: tuple[Line, ...]

    @property
    def has_fidelity(self) -> bool:
        """Whether any of its plans was held against the reference."""
        return any(line.fidelity not in (None, math.inf) or line.identical for line in self.lines)

    @property
    def one_picture(self) -> bool:
        """Whether its scores are of one prompt and seed: they say nothing of others, and rank
        nothing."""
        return self.has_fidelity and self.pairs < 2

    @property
    def by_weights(self) -> bool:
        """Whether memory means the weights; else it is the peak, where only that is known."""
        return any(line.weights_bytes is not None for line in self.lines)

    def memory(self, line: Line) -> float | None:
        """Bytes of ``line``: what this group's memory means."""
        return line.weights_bytes if self.by_weights else line.peak_bytes


def table(group: Group) -> Table:
    """The group to post: a caption that says everything they have in common, and its lines."""
    return Table(_caption(group), [_cells(line, group) for line in group.lines])


def _caption(group: Group) -> str:
    parts = [group.model]
    parts += described(group.settings)
    parts += [f"with {group.offload}"] if group.offload else []
    parts += [f"reference {group.reference}"] if group.reference else []
    where = ", ".join((group.machine, *(f"{k} {v}" for k, v in group.versions.items())))
    text = f"{', '.join(parts)}. {group.evidence.capitalize()} on {where or 'a machine'}."
    if group.evidence == "measured":
        return f"{text} {group.runs} runs, the newest of {group.measured_at[:10]}."
    return f"{text} Source: {group.source}, {group.url}, checked {group.checked}."


def between(ends: tuple[float, float] | None) -> str:
    """An interval of dB in words; nothing where there is none."""
    return f"{ends[0]:.1f} to {ends[1]:.1f} dB" if ends else ""


def _unit(key: str, group: Group) -> tuple[int, str]:
    """The unit of a column of bytes: MiB where nothing in it reaches a GiB."""
    most = max((line.figures.get(key, 0.0) for line in group.lines), default=0.0)
    return (GIB, "GiB") if most >= GIB else (MIB, "MiB")


def _cells(line: Line, group: Group) -> dict[str, Value]:
    figures: dict[str, Value] = {}
    for row in METRICS:
        unit, name = _unit(row.key, group)
        value = line.figures.get(row.key)
        known = value / unit if value is not None and row.unit == "bytes" else value
        same = line.identical and known is None and bool(row.image)
        figures[row.titled(name)] = "identical" if same else known
    return {
        "plan": f"{line.plan} (again)" if line.role == "again" else line.plan,
        "runs": line.runs if group.evidence == "measured" else None,
        **figures,
        "PSNR, 95 % interval": between(line.psnr_interval),
        "peak kind": line.peak_kind,
        "modes": modes_text(line.plan, across=line.across_modes),
        "Pareto front": "yes" if line.front else "",
        "failed": f"{line.failed} of {line.runs}; {line.error}" if line.failed else "",
    }
