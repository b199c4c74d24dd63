"""Time on a CPU: two steps measured on it, and a line in tokens between and beyond them.

A CPU's rate of products says little of what a pipeline takes on it, so nothing is predicted from
figures there. ``lab.bench.pace`` measures; this part computes and is free of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantlab.catalog.time.texts import Basis
from quantlab.catalog.time.values import Seconds
from quantlab.errors import InputError

__all__ = ["Line", "Pace", "pace_from"]

SPREAD = 1.15
"""Half the interval: repeated runs on one quiet machine, and the line's own error."""


@dataclass(frozen=True)
class Line:
    """``fixed`` seconds and ``each`` more of what is counted; neither is below 0."""

    fixed: float
    each: float

    def at(self, count: float) -> float:
        """Seconds for ``count``."""
        return self.fixed + self.each * count


@dataclass(frozen=True)
class Pace:
    """How fast one model runs on one machine: ``step`` by tokens of all samples together, text
    included, ``decode`` by pixels of all pictures, ``encode_s`` for the prompts of a call."""

    step: Line
    decode: Line
    encode_s: float

    def seconds(
        self, *, image_tokens: int, text_tokens: int, pixels: int, steps: int, batch: int = 1
    ) -> Seconds:
        """Seconds of one call; tokens and pixels are those of one picture."""
        one = self.step.at((image_tokens + text_tokens) * batch)
        mid = self.encode_s + steps * one + self.decode.at(pixels * batch)
        return Seconds(mid / SPREAD, mid, mid * SPREAD, "predicted", (Basis.PACE,))


def pace_from(
    steps: Sequence[tuple[int, float]],
    decodes: Sequence[tuple[int, float]],
    encode_s: float,
) -> Pace:
    """The pace from (tokens, seconds) of single steps and (pixels, seconds) of decodes.

    Two sizes each; of more the smallest and the largest are taken.

    Raises:
        InputError: fewer than two sizes, or a time that is not above 0.
    """
    if encode_s < 0:
        raise InputError("encode_s", f"expected seconds, found {encode_s:g}")
    return Pace(_line("steps", steps), _line("decodes", decodes), encode_s)


def _line(part: str, points: Sequence[tuple[int, float]]) -> Line:
    if any(seconds <= 0 for _, seconds in points):
        raise InputError(part, "expected times above 0 s")
    ordered = sorted(points)
    if len({count for count, _ in ordered}) < 2:
        raise InputError(part, "expected times at two sizes")
    (small, least), (large, most) = ordered[0], ordered[-1]
    each = max((most - least) / (large - small), 0.0)
    fixed = least - each * small
    if fixed < 0:  # worse than linear between the two: a line through the larger, and 0
        return Line(0.0, most / large)
    return Line(fixed, each)
