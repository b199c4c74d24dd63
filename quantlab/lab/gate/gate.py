"""The gate: a plan held against a reference over prompts and seeds, within limits or not.

The reference runs twice for each pair; what it differs from itself by is this machine's noise
floor, and a limit is missed only by more than that. One picture proves nothing: every figure is a
mean with its interval.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from quantlab.errors import RunError, Stopped
from quantlab.lab.bench.compare import Bench
from quantlab.lab.bench.interval import Span, span
from quantlab.lab.gate.thresholds import Threshold
from quantlab.words.comparison import Comparison
from quantlab.words.metrics import COSTS, Metric
from quantlab.words.outcome import Outcome

__all__ = ["Line", "Verdict", "gate"]


@dataclass(frozen=True)
class Line:
    """One metric: its limit, the plan's figures, and what the reference is against itself.

    ``found`` is None where every picture is identical to the reference's, which is better than any
    limit; so is a ``floor`` of infinity for PSNR.
    """

    threshold: Threshold
    found: Span | None
    floor: float
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """What came of it; ``pairs`` are how many prompts and seeds."""

    comparison: Comparison
    """The first of them: reference, reference again, plan."""
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    pairs: int
    lines: tuple[Line, ...]

    @property
    def passed(self) -> bool:
        """Whether every metric is within its limit."""
        return all(line.passed for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; PSNR of identical pictures is null."""
        return {
            "passed": self.passed,
            "model": self.comparison.model,
            "reference": str(self.comparison.plans[0]),
            "plan": str(self.comparison.plans[2]),
            "prompts": list(self.prompts),
            "seeds": list(self.seeds),
            "pairs": self.pairs,
            "metrics": [
                {
                    "metric": line.threshold.metric.key,
                    line.threshold.word: line.threshold.limit,
                    "found": line.found.as_dict() if line.found else None,
                    "noise_floor": None if math.isinf(line.floor) else line.floor,
                    "passed": line.passed,
                }
                for line in self.lines
            ],
        }


def gate(
    pairs: Sequence[Comparison],
    thresholds: Sequence[Threshold],
    bench: Bench,
    out: Path,
    say: Callable[[str], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Verdict:
    """Run ``pairs``, each a comparison of a reference, the same again, and the plan.

    Raises:
        RunError: a plan failed; the message has the stage and the reason. Or a limit is of what is
            not measured here.
        Stopped: ``stop`` was set.
    """
    first: list[Outcome] = []
    again: list[Outcome] = []
    found: list[Outcome] = []
    for index, comparison in enumerate(pairs, 1):
        say(f"pair {index} of {len(pairs)}: {comparison.prompt!r:.60}, seed {comparison.seed}")
        trial = bench.trial(comparison, out=out / str(index), stop=stop, warmup=int(index == 1))
        outcomes = [trial.outcome(place, plan) for place, plan in enumerate(comparison.plans)]
        for outcome in outcomes:
            _check_ran(outcome)
        first.append(outcomes[0])
        again.append(outcomes[1])
        found.append(outcomes[2])
    return Verdict(
        comparison=pairs[0],
        prompts=tuple(dict.fromkeys(pair.prompt for pair in pairs)),
        seeds=tuple(dict.fromkeys(pair.seed for pair in pairs)),
        pairs=len(pairs),
        lines=tuple(_line(threshold, found, first, again) for threshold in thresholds),
    )


def _check_ran(outcome: Outcome) -> None:
    error = outcome.error
    if error is not None:
        kind = Stopped if error.stage == "stopped" else RunError
        raise kind(f"{outcome.plan} failed at {error.stage}: {error.message}")


def _line(
    threshold: Threshold,
    found: Sequence[Outcome],
    first: Sequence[Outcome],
    again: Sequence[Outcome],
) -> Line:
    row = threshold.metric
    values = _values(row, found)
    floor = _spread(row, first, again) if row in COSTS else _floor(row, again)
    if not values:
        if not row.image or not all(outcome.identical for outcome in found):
            raise RunError(f"{row.key} was not measured here, so that its limit cannot be held")
        return Line(threshold, None, floor, passed=True)
    figures = span(values)
    return Line(threshold, figures, floor, threshold.passed(figures.mean, floor))


def _value(row: Metric, outcome: Outcome) -> float | None:
    """What an outcome has of a metric; identical pictures count as the row says."""
    value = outcome.figures().get(row.key)
    return row.equal if value is None and outcome.identical and row.image else value


def _values(row: Metric, outcomes: Sequence[Outcome]) -> list[float]:
    return [value for outcome in outcomes if (value := _value(row, outcome)) is not None]


def _spread(row: Metric, first: Sequence[Outcome], again: Sequence[Outcome]) -> float:
    """How far the reference's runs lie apart in a cost; what only loading costs, its later ones."""
    values = _values(row, again if row.over == "first" else [*first, *again])
    return max(values) - min(values) if values else 0.0


def _floor(row: Metric, again: Sequence[Outcome]) -> float:
    """What a score of the reference against itself is."""
    values = _values(row, again)
    if row.unit == "dB":
        return min(values, default=math.inf)
    if row.best == "high":
        return min(values, default=1.0)
    return fmean(values) if values else 0.0
