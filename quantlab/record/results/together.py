"""What several runs of one plan say together: the one place where results are put together.

Runs that failed count only as failures. Where an image equals the reference's, a score counts as
what its row in ``words.metrics`` says of equal images, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from quantlab.words.metrics import METRICS, SCORES, metric
from quantlab.words.outcome import Outcome

__all__ = ["Run", "Together", "run_of", "together"]


class Run(NamedTuple):
    """One run. ``figures`` are its metrics that are known, by key."""

    status: str
    error: str
    identical: bool
    across_modes: bool
    peak_kind: str
    figures: Mapping[str, float]


def run_of(outcome: Outcome) -> Run:
    """The run that an outcome tells of."""
    error = outcome.error
    return Run(
        status=outcome.status,
        error=f"{error.stage}: {error.message}" if error else "",
        identical=outcome.identical,
        across_modes=outcome.across_modes,
        peak_kind=outcome.peak_kind or "",
        figures=outcome.figures(),
    )


@dataclass(frozen=True)
class Together:
    """Runs of one plan, in their order. ``error`` is that of the first that failed, ``identical``
    how many images equal the reference's, ``values`` each metric's numbers by key."""

    runs: int
    failed: int
    error: str
    identical: int
    across_modes: bool
    peak_kind: str
    values: Mapping[str, tuple[float, ...]]

    @property
    def all_identical(self) -> bool:
        """Whether every image equals the reference's."""
        return 0 < self.runs - self.failed == self.identical

    def figure(self, key: str) -> float | None:
        """What stands for all runs: the median, the most or the first, as the metric's row says."""
        values = self.values.get(key, ())
        if not values:
            return None
        over = metric(key).over
        return max(values) if over == "max" else values[0] if over == "first" else median(values)

    def figures(self) -> dict[str, float]:
        """What stands for all runs of each metric that is known, by key."""
        found = {row.key: self.figure(row.key) for row in METRICS}
        return {key: value for key, value in found.items() if value is not None}


def together(runs: Sequence[Run]) -> Together:
    """Put ``runs`` of one plan together."""
    good = [run for run in runs if run.status == "ok"]
    bad = [run for run in runs if run.status != "ok"]
    equal = {row.key: row.equal for row in SCORES if row.equal is not None}
    each = [{**equal, **run.figures} if run.identical else run.figures for run in good]
    return Together(
        runs=len(runs),
        failed=len(bad),
        error=bad[0].error if bad else "",
        identical=sum(run.identical for run in good),
        across_modes=any(run.across_modes for run in good),
        peak_kind=next((run.peak_kind for run in good if run.peak_kind), ""),
        values={
            row.key: tuple(found[row.key] for found in each if row.key in found) for row in METRICS
        },
    )
