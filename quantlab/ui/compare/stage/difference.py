"""The amplified difference of two images: where, and how much, a plan's image leaves the reference.

Works on the stored PNG bytes; Pillow and numpy are imported when there is something to subtract.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

__all__ = ["AMPLIFICATIONS", "USUAL", "Difference", "difference"]

AMPLIFICATIONS = (1, 4, 8, 16)
USUAL = 8


@dataclass(frozen=True)
class Difference:
    """``image`` (Pillow, RGB) is black where both are equal.

    ``largest`` is the largest difference of any channel, 0 to 255, before it was amplified;
    ``share`` is the part of the pixels that differ at all, 0 to 1.
    """

    image: Any
    largest: int
    share: float


def difference(png: bytes, reference: bytes, times: int) -> Difference:
    """min(255, ``times`` * |a - b|) of each channel of two PNG images, as 8-bit RGB.

    Raises:
        ValueError: the images are of different sizes.
    """
    import numpy as np
    from PIL import Image

    one, other = (np.asarray(_rgb(data), dtype=np.int16) for data in (png, reference))
    if one.shape != other.shape:
        raise ValueError(f"images of {one.shape} and {other.shape} cannot be subtracted")
    apart = np.abs(one - other)
    image = Image.fromarray(np.minimum(apart * times, 255).astype(np.uint8))
    share = float(apart.any(axis=2).mean()) if apart.size else 0.0
    return Difference(image, int(apart.max(initial=0)), share)


def _rgb(png: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(png)).convert("RGB")
