"""Runs that were measured on one device, indexed: a proposal asks for hundreds of plans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from quantlab.catalog.time.values import MeasuredRun, Run, Work

__all__ = ["NONE", "Measured"]


class Measured:
    """What was run on the very card that is asked about; compared by identity."""

    def __init__(self, runs: Iterable[MeasuredRun] = ()) -> None:
        self.runs = tuple(runs)
        self._same: dict[tuple[Work, Run], list[float]] = defaultdict(list)
        for one in self.runs:
            self._same[one.work, one.run].append(one.seconds)

    def seconds(self, work: Work, run: Run) -> Sequence[float]:
        """Those of exactly that run; none where it was not measured."""
        return self._same.get((work, run), ()) if self._same else ()


NONE = Measured()
