"""A loss curve as a PNG, with nothing but Pillow."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw

__all__ = ["smooth", "write_curve"]

_SIZE = (720, 360)
_MARGIN = 44


def smooth(losses: list[float], points: int = 300) -> list[float]:
    """Means over at most `points` stretches of equal length."""
    stretch = max(1, math.ceil(len(losses) / points))
    return [
        sum(part) / len(part)
        for part in (losses[i : i + stretch] for i in range(0, len(losses), stretch))
    ]


def write_curve(losses: list[float], file: Path) -> None:
    """Draw the smoothed loss over the steps, loss on a logarithmic axis."""
    values = [math.log10(max(value, 1e-9)) for value in smooth(losses)]
    if len(values) < 2:
        return
    low, high = min(values), max(values)
    span = max(high - low, 1e-6)
    width, height = _SIZE[0] - 2 * _MARGIN, _SIZE[1] - 2 * _MARGIN
    image = Image.new("RGB", _SIZE, "white")
    pen = ImageDraw.Draw(image)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _MARGIN + height * (1.0 - share)
        pen.line([(_MARGIN, y), (_MARGIN + width, y)], fill="#dddddd")
        pen.text((4, y - 5), f"{10 ** (low + share * span):.3f}", fill="black")
    line = [
        (_MARGIN + width * i / (len(values) - 1), _MARGIN + height * (high - value) / span)
        for i, value in enumerate(values)
    ]
    pen.line(line, fill="#2454b8", width=2)
    pen.text((_MARGIN, _SIZE[1] - 30), f"loss over {len(losses)} steps", fill="black")
    image.save(file)
