"""A mean with its interval, over prompts and seeds drawn from many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from quantlab.lab.libraries import resolve

__all__ = ["SURE", "Span", "span"]

SURE = 0.95
"""The share of repetitions in which an interval holds the true mean."""


@dataclass(frozen=True)
class Span:
    """A mean with the ends of its 95 % interval, by Student's t."""

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


def span(values: Sequence[float]) -> Span:
    """The mean of ``values`` with its interval; of a single one there is none but itself."""
    mean = fmean(values)
    if len(values) < 2 or stdev(values) == 0:
        return Span(mean, mean, mean)
    error = stdev(values) / math.sqrt(len(values))
    low, high = resolve("scipy.stats.t").interval(SURE, len(values) - 1, loc=mean, scale=error)
    return Span(mean, float(low), float(high))
