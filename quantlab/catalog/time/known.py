"""What was measured on the very device that is asked about, as it is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from quantlab.catalog.time.measured import Measured
from quantlab.catalog.time.pace import Pace
from quantlab.catalog.time.values import MeasuredRun
from quantlab.words.plan import Plan

__all__ = ["NOTHING", "Known"]


@dataclass(frozen=True, eq=False)
class Known:
    """Whole runs on the device, and of a CPU the pace of models as they are, by model id.

    Two are the same only where they are one: answers are kept by it.
    """

    runs: tuple[MeasuredRun, ...] = ()
    paces: tuple[tuple[str, Pace], ...] = ()

    @cached_property
    def measured(self) -> Measured:
        """The runs, indexed."""
        return Measured(self.runs)

    @cached_property
    def schemes(self) -> frozenset[str]:
        """Of the plans that were run: none of them is left out of a proposal unseen."""
        plans = {one.run.plan for one in self.runs if one.run.plan}
        return frozenset(scheme for text in plans for _, scheme in Plan.read(text).parts)

    def pace(self, model_id: str) -> Pace | None:
        """The pace of a model there, or None where nobody ran it."""
        return dict(self.paces).get(model_id)


NOTHING = Known()
"""Nobody measured anything there."""
