"""Bytes, seconds and decibels as text, the same on the page, the command line and in pictures."""

from __future__ import annotations

__all__ = ["GIB", "MIB", "gib", "gib_of", "seconds", "size"]

MIB, GIB = 2**20, 2**30


def size(count: float | None) -> str:
    """Bytes as ``52.1 MiB`` or ``9.86 GiB``; ``-`` where there is no number."""
    if count is None:
        return "-"
    if count < GIB:
        return f"{count / MIB:.1f} MiB" if count < 100 * MIB else f"{count / MIB:.0f} MiB"
    return f"{count / GIB:.2f} GiB"


def gib(count: float) -> str:
    """Bytes of devices and models as ``9.9 GiB``; of a model so small that this says little as
    ``34.5 MiB``."""
    return f"{count / MIB:.1f} MiB" if 0 < count < GIB / 10 else f"{count / GIB:.1f} GiB"


def gib_of(count: float, whole: float) -> str:
    """Bytes and all that there are: ``9.1 of 12.0 GiB``, ``34.5 MiB of 12.0 GiB``."""
    all_of = gib(whole)
    return f"{gib(count).removesuffix(all_of[-4:])} of {all_of}"


def seconds(value: float | None) -> str:
    """Seconds with three figures that count, such as ``1.83 s``; ``-`` where there is no number."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:.0f} s"
    return f"{value:.2f} s" if value >= 1 else f"{value:.3f} s"
