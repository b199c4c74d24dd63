"""What many runs of a plan say together: medians, spreads, intervals, and who is on the front.

A pair is a prompt with a seed. Every plan is held against the reference on the same pairs, so the
bootstrap draws pairs, not single numbers. Intervals are percentile bootstrap intervals of the
median (Efron and Tibshirani 1993, chapter 13), drawn by scipy.stats.bootstrap. They speak for
other pairs of the kind that was run; seeds of one prompt are taken for as good as other prompts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from quantlab.lab.libraries import resolve
from quantlab.record.results.together import run_of, together
from quantlab.words.metrics import SCORES
from quantlab.words.outcome import Outcome

__all__ = [
    "CONFIDENCE",
    "Point",
    "Spread",
    "Summary",
    "interval",
    "known_bounds",
    "on_front",
    "spread",
    "summarize",
]

CONFIDENCE = 0.95
RESAMPLES = 2000
SEED = 0

Pair = tuple[str, int]


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of ``n`` numbers, in the unit of the numbers.

    ``low`` and ``high`` bound the median with 95 % confidence; None for fewer than two numbers.
    """

    n: int
    median: float
    q1: float
    q3: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Summary:
    """One plan over all pairs. Bytes are bytes, ``_s`` are seconds, ``_db`` is dB.

    ``latency_ratio`` is the plan's latency over the reference's on the same pair. Where an image
    is identical to the reference's, SSIM counts as 1 and PSNR has no value: ``identical`` counts
    those pairs, and ``scores["psnr_db"]`` is over the others.
    """

    plan: str
    pairs: int
    failed: int
    error: str | None
    weights_bytes: int | None
    peak_bytes: int | None
    peak_kind: str | None
    load_s: float | None
    latency_s: Spread | None
    latency_ratio: Spread | None
    scores: Mapping[str, Spread | None]
    identical: int
    pareto: bool = False

    @property
    def psnr_db(self) -> Spread | None:
        """Over the pairs whose images differ from the reference's."""
        return self.scores["psnr_db"]

    def as_dict(self) -> dict[str, Any]:
        """The keys that ``python -m quantlab sweep --json`` promises; every score has its own."""
        found: dict[str, Any] = {}
        for name, value in asdict(self).items():
            found |= value if name == "scores" else {name: value}
        return found


def summarize(
    plan: str, outcomes: Mapping[Pair, Outcome], reference: Mapping[Pair, Outcome]
) -> Summary:
    """Put the outcomes of ``plan`` together; ``reference`` holds those of the reference plan."""
    found = together([run_of(outcome) for outcome in outcomes.values()])
    latency = {pair: o.cost("latency_s") for pair, o in outcomes.items() if o.status == "ok"}
    base = {pair: o.cost("latency_s") for pair, o in reference.items() if o.status == "ok"}
    ratios = [own / theirs for p, own in latency.items() if own and (theirs := base.get(p))]
    weights, peak = found.figure("weights_bytes"), found.figure("peak_bytes")
    return Summary(
        plan=plan,
        pairs=found.runs,
        failed=found.failed,
        error=found.error or None,
        weights_bytes=None if weights is None else int(weights),
        peak_bytes=None if peak is None else int(peak),
        peak_kind=found.peak_kind or None,
        load_s=found.figure("load_s"),
        latency_s=spread(found.values["latency_s"]),
        latency_ratio=spread(ratios),
        scores={row.key: spread(found.values[row.key]) for row in SCORES},
        identical=found.identical,
    )


def spread(values: Sequence[float]) -> Spread | None:
    """Median, quartiles (linear between neighbours) and interval; None for no values."""
    if not values:
        return None
    q1, median, q3 = (float(q) for q in resolve("numpy.quantile")(values, [0.25, 0.5, 0.75]))
    low, high = interval(tuple(values))
    return Spread(len(values), median, q1, q3, low, high)


@lru_cache(maxsize=4096)
def interval(values: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Bootstrap interval of the median; the same values always give the same interval."""
    if len(values) < 2:
        return None, None
    if min(values) == max(values):
        return values[0], values[0]  # nothing to resample; scipy would only warn
    numpy_median = resolve("numpy.median")
    found: Any = resolve("scipy.stats.bootstrap")(
        (values,),
        numpy_median,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=resolve("numpy.random.default_rng")(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


@dataclass(frozen=True)
class Point:
    """What is weighed against each other: fewer bytes, fewer seconds, more dB are better.

    ``low_db`` and ``high_db`` bound the dB as ``interval`` does; what overlaps is not told apart.
    Equal bounds are for what is exact, infinite ones for what a single picture says.
    """

    weights_bytes: float
    latency_s: float
    low_db: float
    high_db: float

    @classmethod
    def of(cls, summary: Summary, *, is_reference: bool = False) -> Point | None:
        """A plan's point, or None where it failed; identical images are infinitely near."""
        if summary.weights_bytes is None or summary.latency_s is None:
            return None
        if is_reference or (summary.psnr_db is None and summary.identical):
            bounds = (math.inf, math.inf)
        elif summary.psnr_db is None:
            return None
        else:
            bounds = known_bounds(summary.psnr_db.low, summary.psnr_db.high)
        return cls(summary.weights_bytes, summary.latency_s.median, *bounds)

    def beats(self, other: Point) -> bool:
        """Whether it is surely at least as good in all and better in one."""
        no_worse = (
            self.weights_bytes <= other.weights_bytes
            and self.latency_s <= other.latency_s
            and self.low_db >= other.high_db
        )
        return no_worse and self != other


def known_bounds(low: float | None, high: float | None) -> tuple[float, float]:
    """The ends of an interval; infinite where there is none, so that nothing is ranked by it."""
    return (-math.inf, math.inf) if low is None or high is None else (low, high)


def on_front(points: Sequence[Point | None]) -> list[bool]:
    """For each point whether no other beats it (the Pareto front); None is never on it."""
    there = [point for point in points if point is not None]
    return [p is not None and not any(other.beats(p) for other in there) for p in points]
