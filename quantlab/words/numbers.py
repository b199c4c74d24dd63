"""Numbers that people give, held against what is allowed; messages name the part."""

from __future__ import annotations

import math

from quantlab.errors import InputError

__all__ = ["above_zero", "finite_number", "plain", "show", "size_of", "whole"]


def above_zero(part: str, value: object, most: float) -> None:
    """Refuse what is no number above 0, up to ``most``; None is left out.

    Raises:
        InputError: it is not; ``part`` is named.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value <= most):  # type: ignore[operator]
        raise InputError(part, f"{value!r:.42}; a number above 0, up to {plain(most)}, is allowed")


def plain(number: float) -> str:
    """A number as people write it: without an exponent, and without a point where it is whole."""
    return f"{number:.10f}".rstrip("0").rstrip(".")


def show(value: object) -> str:
    """A foreign value as it may appear in a message: text quoted, printable, short, a whole number
    without a point."""
    text = value if isinstance(value, str) else str(value)
    if isinstance(value, int | float):
        text = text.removesuffix(".0")
    short = text if len(text) <= 40 else text[:37] + "..."
    return short if isinstance(value, int | float) else repr(short)


def whole(part: str, value: object, low: int, high: int) -> int:
    """``value`` where it is a whole number from ``low`` to ``high``.

    Raises:
        InputError: it is not; ``part`` is named.
    """
    number = finite_number(value)
    if number is None or number != int(number):
        raise InputError(part, f"{show(value)} is not a whole number")
    if not low <= number <= high:
        raise InputError(part, f"{show(value)} is out of range; {low} to {high} are allowed")
    return int(number)


def finite_number(value: object) -> int | float | None:
    """A finite number as it is, or None for anything else."""
    is_int = isinstance(value, int) and not isinstance(value, bool)  # of any length: no isfinite
    if is_int or (isinstance(value, float) and math.isfinite(value)):
        return value  # type: ignore[return-value]
    return None


def size_of(part: str, value: object, low: int, high: int, multiple: int) -> int:
    """As ``whole``, in pixels; only multiples of ``multiple`` are taken."""
    pixels = whole(part, value, low, high)
    if pixels % multiple:
        raise InputError(
            part, f"{pixels} is not a multiple of {multiple}; {low} to {high} are allowed"
        )
    return pixels
