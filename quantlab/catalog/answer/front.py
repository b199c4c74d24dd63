"""The Pareto front over memory, time and loss, and which plans of it are named.

Pure functions of placed plans; the rules are told in choices.py.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from quantlab.catalog.answer.loss import band_of
from quantlab.catalog.bands import load_bands
from quantlab.catalog.placement import KINDS, Kind, Placement
from quantlab.catalog.time import Reason, Seconds
from quantlab.words.choice import LABELS, Label, Loss
from quantlab.words.plan import Plan

__all__ = [
    "ALIKE",
    "CLOSE",
    "FARTHEST",
    "LAST_RESORT",
    "Placed",
    "front_of",
    "fronts_of",
    "is_at_hand",
    "levels",
    "named",
    "timed_instead",
]

CLOSE = "close"
"""The farthest band of data/bands.toml that the fastest plan may be in."""
FARTHEST = "visible"
"""The farthest band that the smallest plan may be in; where nothing that near fits, it is in the
nearest that does."""
ALIKE = 0.1
"""What is smaller or faster by no more than this share is not told apart."""
LAST_RESORT = "group-offload"
"""The placement in which every layer travels at every step."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A plan in one placement that fits. ``seconds`` is the middle of the time; infinity where none
    is known, which counts as slower. ``settings`` are the ways of decoding without which it does
    not fit so."""

    plan: Plan
    placement: Placement
    loss: Loss
    seconds: float
    settings: tuple[str, ...]
    _told: Callable[[Plan, Kind], Seconds | Reason]

    @cached_property
    def time(self) -> Seconds | Reason:
        """With its interval, or why there is none: of the many that are placed few are told."""
        return self._told(self.plan, self.placement.kind)

    @property
    def quantizes(self) -> bool:
        """Whether it is not the model as it is."""
        return self.loss.value > 0

    @cached_property
    def level(self) -> int:
        """Of its band: the higher, the nearer."""
        return band_of(self.loss).level

    @property
    def speed(self) -> tuple[float, int, bool]:
        """What it is compared by as to speed: seconds; where none are known, what travels least;
        and then no compiler."""
        return (self.seconds, KINDS.index(self.placement.kind), self.plan.compiled)

    @property
    def measures(self) -> tuple[int, tuple[float, int, bool], float]:
        """Memory, time and loss."""
        return (self.placement.peak_bytes, self.speed, self.loss.value)


def front_of(placed: Iterable[Placed]) -> list[Placed]:
    """What nothing beats: nothing is at least as small, as fast and as near, and better in one of
    the three. Of what is alike in all three, the first; the smallest stands first."""
    front: list[Placed] = []
    steps: list[tuple[tuple[float, int, bool], float]] = []  # slower and nearer, one by one
    counted = [(one.measures, at, one) for at, one in enumerate(placed)]
    for (_, speed, loss), _, one in sorted(counted):  # of equals the first: no two are compared
        at = bisect_right(steps, (speed, math.inf))
        if at and steps[at - 1][1] <= loss:  # what is at least as small and as fast is as near
            continue
        front.append(one)
        end = at
        while end < len(steps) and steps[end][1] >= loss:
            end += 1
        steps[at:end] = [(speed, loss)]
    return front


def fronts_of(placed: Iterable[Placed]) -> tuple[list[Placed], list[Placed]]:
    """The front, and that of which the fastest is taken: without the unquantized model under group
    offload, where anything quantized fits: it would beat quantized plans there, whose seconds
    nobody knows either."""
    usual, unusual = list[Placed](), list[Placed]()
    for one in placed:
        last = not one.quantizes and one.placement.kind == LAST_RESORT
        (unusual if last else usual).append(one)
    near = front_of(usual)
    front = front_of([*near, *unusual]) if unusual else near
    return front, near if any(one.quantizes for one in usual) else front


def named(
    front: Sequence[Placed], usual: Sequence[Placed]
) -> list[tuple[tuple[Label, ...], Placed]]:
    """At most three of both ``fronts_of`` with their labels, in the order of ``LABELS``."""
    if not front:
        return []
    best = min(front, key=lambda p: (p.loss.value, p.speed, p.placement.peak_bytes))
    fastest = _fastest(usual, best)
    smallest = _smallest(front, fastest, best)
    found: dict[Placed, list[Label]] = {}
    for label, one in zip(LABELS, (fastest, best, smallest), strict=True):
        found.setdefault(one, []).append(label)
    return [(tuple(labels), one) for one, labels in found.items()]


def is_at_hand(one: Placed, nearest: int) -> bool:
    """Whether it stays close, or in the ``nearest`` level that there is, and its layers do not
    travel at every step."""
    return one.placement.kind != LAST_RESORT and one.level >= min(levels()[CLOSE], nearest)


def timed_instead(front: Sequence[Placed], chosen: Sequence[Placed]) -> Placed | None:
    """Where nobody knows the seconds of the first of ``chosen``, nor of another: the nearest plan
    that is no farther than "visible" and whose seconds are known."""
    if not chosen or any(one.seconds < math.inf for one in chosen):
        return None
    timed = [p for p in front if p.seconds < math.inf and _within(p, FARTHEST)]
    return min(timed, key=lambda p: (p.loss.value, p.speed), default=None)


def _fastest(allowed: Sequence[Placed], best: Placed) -> Placed:
    """The fastest that is close enough; where none is, of those that are nearest. The best picture,
    where that is among them and hardly slower."""
    enough = [p for p in allowed if _within(p, CLOSE)]
    if not enough:
        nearest = max(p.level for p in allowed)
        enough = [p for p in allowed if p.level == nearest]
    fastest = min(enough, key=lambda p: (p.speed, p.loss.value, p.placement.peak_bytes))
    alike = best.seconds < math.inf and best.seconds <= (1 + ALIKE) * fastest.seconds
    return best if alike and best in enough else fastest


def _smallest(front: Sequence[Placed], fastest: Placed, best: Placed) -> Placed:
    """The least memory that is not both slower and worse than another choice, and does not make
    the fastest a liar; one of the others where that is no larger, or hardly."""
    others = (fastest, best)

    def fair(one: Placed) -> bool:
        if one.level >= fastest.level and one.speed < fastest.speed:
            return False
        return not any(o.speed < one.speed and o.loss.value < one.loss.value for o in others)

    left = [p for p in front if p in others or fair(p)]
    farthest = min(levels()[FARTHEST], max(p.level for p in left))
    left = [p for p in left if p.level >= farthest]
    left = [p for p in left if p.placement.kind != LAST_RESORT] or left
    least = min(left, key=lambda p: (p.placement.peak_bytes, p.loss.value, p.speed))
    known = min(others, key=lambda p: p.placement.peak_bytes)
    alike = least.placement.peak_bytes > (1 - ALIKE) * known.placement.peak_bytes
    return known if alike else least


def _within(one: Placed, word: str) -> bool:
    return one.level >= levels()[word]


@lru_cache(maxsize=1)
def levels() -> dict[str, int]:
    """The level of each band's word: the higher, the nearer."""
    return {band.word: band.level for band in load_bands().bands}
