"""What many runs of a plan say together: medians, spreads, intervals, and who is on the front.

A pair is a prompt with a seed. Every plan is held against the reference on the same pairs, so the
bootstrap draws pairs, not single numbers. Intervals are percentile bootstrap intervals of the
median (Efron and Tibshirani 1993, chapter 13), drawn by scipy.stats.bootstrap. They speak for
other pairs of the kind that was run; seeds of one prompt are taken for as good as other prompts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantlab.lab.libraries import resolve
from quantlab.words.outcome import Outcome

__all__ = [
    "CONFIDENCE",
    "Point",
    "Spread",
    "Summary",
    "interval",
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
    """One plan over all pairs. Bytes are bytes, ``_s`` are seconds, ``psnr_db`` is dB.

    ``latency_ratio`` is the plan's latency over the reference's on the same pair. Where an image
    is identical to the reference's, SSIM counts as 1 and PSNR has no value: ``identical`` counts
    those pairs, and ``psnr_db`` is over the others.
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
    psnr_db: Spread | None
    ssim: Spread | None
    transformer_rel_l2: Spread | None
    identical: int
    pareto: bool = False


def summarize(
    plan: str, outcomes: Mapping[Pair, Outcome], reference: Mapping[Pair, Outcome]
) -> Summary:
    """Put the outcomes of ``plan`` together; ``reference`` holds those of the reference plan."""
    good = {pair: o for pair, o in outcomes.items() if o.status == "ok"}
    bad = [o.error for o in outcomes.values() if o.error is not None]
    compared = [o for o in good.values() if o.transformer_rel_l2 is not None]
    same = [o for o in compared if o.ssim is None]
    some = next(iter(good.values()), None)
    ratios = [
        _latency(o) / _latency(reference[pair])
        for pair, o in good.items()
        if pair in reference and reference[pair].status == "ok"
    ]
    return Summary(
        plan=plan,
        pairs=len(outcomes),
        failed=len(bad),
        error=f"{bad[0].stage}: {bad[0].message}" if bad else None,
        weights_bytes=sum(some.weights_bytes.values()) if some else None,
        peak_bytes=max((o.peak_bytes or 0 for o in good.values()), default=None),
        peak_kind=some.peak_kind if some else None,
        load_s=some.load_s if some else None,
        latency_s=spread([_latency(o) for o in good.values()]),
        latency_ratio=spread(ratios),
        psnr_db=spread([o.psnr_db for o in compared if o.psnr_db is not None]),
        ssim=spread([1.0 if o.ssim is None else o.ssim for o in compared]),
        transformer_rel_l2=spread([o.transformer_rel_l2 or 0.0 for o in compared]),
        identical=len(same),
    )


def _latency(outcome: Outcome) -> float:
    """The median over the repeats of one pair, seconds."""
    return float(resolve("numpy.median")(outcome.latency_s))


def spread(values: Sequence[float]) -> Spread | None:
    """Median, quartiles (linear between neighbours) and interval; None for no values."""
    if not values:
        return None
    q1, median, q3 = (float(q) for q in resolve("numpy.quantile")(values, [0.25, 0.5, 0.75]))
    low, high = interval(values)
    return Spread(len(values), median, q1, q3, low, high)


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
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
    """What is weighed against each other: fewer bytes, fewer seconds, more dB are better."""

    weights_bytes: float
    latency_s: float
    psnr_db: float

    @classmethod
    def of(cls, summary: Summary, *, is_reference: bool = False) -> Point | None:
        """A plan's point, or None where it failed; identical images are infinitely near."""
        if summary.weights_bytes is None or summary.latency_s is None:
            return None
        if is_reference or (summary.psnr_db is None and summary.identical):
            psnr = math.inf
        elif summary.psnr_db is None:
            return None
        else:
            psnr = summary.psnr_db.median
        return cls(summary.weights_bytes, summary.latency_s.median, psnr)

    def beats(self, other: Point) -> bool:
        """Whether it is at least as good in all and better in one."""
        no_worse = (
            self.weights_bytes <= other.weights_bytes
            and self.latency_s <= other.latency_s
            and self.psnr_db >= other.psnr_db
        )
        return no_worse and self != other


def on_front(points: Sequence[Point | None]) -> list[bool]:
    """For each point whether no other beats it (the Pareto front); None is never on it."""
    there = [point for point in points if point is not None]
    return [p is not None and not any(other.beats(p) for other in there) for p in points]
