"""How much one image differs from another, pixel by pixel.

Works on the stored PNG bytes; Pillow and numpy are imported when there is something to subtract.
The amplified picture of it is the browser's (static/stage.css).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

__all__ = ["Difference", "difference"]


@dataclass(frozen=True)
class Difference:
    """``largest`` is the largest difference of any channel, 0 to 255; ``share`` is the part of the
    pixels that differ at all, 0 to 1."""

    largest: int
    share: float


def difference(png: bytes, reference: bytes) -> Difference:
    """|a - b| of two PNG images, as 8-bit RGB.

    Raises:
        ValueError: the images are of different sizes.
    """
    import numpy as np

    one, other = (np.asarray(_rgb(data), dtype=np.int16) for data in (png, reference))
    if one.shape != other.shape:
        raise ValueError(f"images of {one.shape} and {other.shape} cannot be subtracted")
    apart = np.abs(one - other)
    share = float(apart.any(axis=2).mean()) if apart.size else 0.0
    return Difference(int(apart.max(initial=0)), share)


def _rgb(png: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(png)).convert("RGB")
