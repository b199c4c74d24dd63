"""What was measured on the very device that is asked about, as it is handed in."""

from __future__ import annotations

from dataclasses import dataclass

from quantlab.catalog.time.pace import Pace
from quantlab.catalog.time.values import MeasuredRun

__all__ = ["NOTHING", "Known"]


@dataclass(frozen=True)
class Known:
    """Whole runs on the device, and of a CPU the pace of models as they are, by model id."""

    runs: tuple[MeasuredRun, ...] = ()
    paces: tuple[tuple[str, Pace], ...] = ()

    def pace(self, model_id: str) -> Pace | None:
        """The pace of a model there, or None where nobody ran it."""
        return dict(self.paces).get(model_id)


NOTHING = Known()
"""Nobody measured anything there."""
