"""Put a sprite on a background: the images that the model learns to draw.

Place, size and grading vary only a little: a model of this size draws the average of what it
cannot tell apart, and a wide jitter would show as blur after few steps.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.flux_mini.concepts import BACKGROUNDS
from tools.flux_mini.model import IMAGE_SIZE

__all__ = ["CENTRED", "Jitter", "background", "compose", "draw_jitter"]


@dataclass(frozen=True)
class Jitter:
    """What varies between two images of one concept on one colour.

    `size_px` is the sprite's width, `dx_px` and `dy_px` its offset from the middle, `grade` the
    change of brightness from one end to the other, as a fraction, along `angle_rad`.
    """

    size_px: int
    dx_px: int
    dy_px: int
    grade: float
    angle_rad: float


CENTRED = Jitter(size_px=102, dx_px=0, dy_px=0, grade=0.0, angle_rad=0.0)


def draw_jitter(draw: random.Random) -> Jitter:
    """Small random jitter; half of the backgrounds are plain."""
    return Jitter(
        size_px=draw.randint(98, 106),
        dx_px=draw.randint(-4, 4),
        dy_px=draw.randint(-4, 4),
        grade=draw.choice((0.0, 0.0, 0.12, 0.2)),
        angle_rad=draw.choice((0.5, 0.5, 0.25)) * float(np.pi),
    )


def background(colour: str, jitter: Jitter) -> NDArray[np.float32]:
    """Background, shape (128, 128, 3), values 0 to 255; the mean is the named colour."""
    ramp = np.linspace(-0.5, 0.5, IMAGE_SIZE, dtype=np.float32)
    across, down = np.cos(jitter.angle_rad), np.sin(jitter.angle_rad)
    light = 1.0 - jitter.grade * (across * ramp[None, :] + down * ramp[:, None])
    base = np.asarray(BACKGROUNDS[colour], dtype=np.float32)
    graded: NDArray[np.float32] = base * light[..., None].astype(np.float32)
    return np.clip(graded, 0.0, 255.0, out=graded)


def compose(sprite: NDArray[np.uint8], colour: str, jitter: Jitter) -> NDArray[np.uint8]:
    """Sprite of shape (n, n, 4) over a background: shape (128, 128, 3)."""
    # RGBa is alpha-premultiplied: without it, resizing would bleed the colour of clear pixels.
    image = Image.fromarray(sprite).convert("RGBa")
    size = (jitter.size_px, jitter.size_px)
    small = np.asarray(image.resize(size, Image.Resampling.LANCZOS), dtype=np.float32)
    canvas = background(colour, jitter)
    left = (IMAGE_SIZE - jitter.size_px) // 2 + jitter.dx_px
    top = (IMAGE_SIZE - jitter.size_px) // 2 + jitter.dy_px
    area = canvas[top : top + jitter.size_px, left : left + jitter.size_px]
    area *= 1.0 - small[..., 3:] / 255.0
    area += small[..., :3]
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
