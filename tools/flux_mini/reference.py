"""Tell what a picture shows: the nearest of 576 reference images.

A picture is shrunk to 32 x 32 by averaging and compared with every concept on every plain
background, each moved by -1, 0 or +1 thumbnail pixels both ways, because place and size vary
in training. The reference with the least mean squared error names concept and colour. There is
no "none of these": a ruined picture still gets the nearest name.

The references ship beside the model, so that this runs without the source images.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["THUMBNAIL", "Named", "References", "shrink"]

THUMBNAIL = 32
"""Width and height of a reference in pixels."""

_SHIFTS = (-1, 0, 1)


@dataclass(frozen=True)
class Named:
    """Concept and background colour of the nearest reference, and its error.

    `rms` is the root mean square difference of the thumbnails, values 0 to 255.
    """

    concept: str
    colour: str
    rms: float


def shrink(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Image (h, w, 3) averaged down to (32, 32, 3); h and w are multiples of 32."""
    height, width, channels = image.shape
    cells = image.reshape(THUMBNAIL, height // THUMBNAIL, THUMBNAIL, width // THUMBNAIL, channels)
    small: NDArray[np.float32] = cells.astype(np.float32).mean(axis=(1, 3))
    return small


class References:
    """All reference images of a model folder."""

    def __init__(self, model: Path) -> None:
        listing = json.loads((model / "concepts.json").read_text(encoding="utf-8"))
        self._concepts: list[str] = [entry["name"] for entry in listing["concepts"]]
        self._colours: dict[str, list[int]] = listing["backgrounds"]
        with np.load(model / "evaluation" / "references.npz") as file:
            sprites = file["sprites"].astype(np.float32)
        self._matrix, self._labels = self._render(sprites)
        self._squares = (self._matrix**2).sum(axis=1)

    def _render(
        self, sprites: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], list[tuple[str, str]]]:
        """Rows of 32 * 32 * 3 values and the (concept, colour) of each."""
        rows, labels = [], []
        for name, sprite in zip(self._concepts, sprites, strict=True):
            for down, across in product(_SHIFTS, _SHIFTS):
                moved = np.roll(sprite, (down, across), axis=(0, 1))
                for colour, rgb in self._colours.items():
                    clear = 1.0 - moved[..., 3:] / 255.0
                    rows.append(
                        (moved[..., :3] + clear * np.asarray(rgb, dtype=np.float32)).ravel()
                    )
                    labels.append((name, colour))
        return np.stack(rows), labels

    def name(self, image: NDArray[np.uint8]) -> Named:
        """Nearest reference of an image (h, w, 3), 0 to 255."""
        row = shrink(image).ravel()
        errors = self._squares - 2.0 * (self._matrix @ row) + (row**2).sum()
        best = int(errors.argmin())
        rms = float(np.sqrt(max(0.0, float(errors[best])) / row.size))
        return Named(*self._labels[best], rms)
