"""The small evaluation data that ships with the model, rendered from the source images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tools.flux_mini.autoencoder import unseen_batch
from tools.flux_mini.compose import CENTRED
from tools.flux_mini.data import load_sprites
from tools.flux_mini.model import IMAGE_SIZE
from tools.flux_mini.paths import EVALUATION
from tools.flux_mini.reference import THUMBNAIL

__all__ = ["write_evaluation_data"]

_UNSEEN = 32


def write_evaluation_data(work: Path, folder: Path) -> None:
    """Write evaluation/references.npz and evaluation/unseen.npz into a model folder.

    `sprites` (concepts, 32, 32, 4): centred, premultiplied by alpha, 0 to 255.
    `images` (32, 128, 128, 3): compositions that no training stage sees; `labels` (32, 2):
    concept and colour of each.
    """
    sprites = load_sprites(work)
    small = []
    margin = (IMAGE_SIZE - CENTRED.size_px) // 2
    for sprite in sprites:
        canvas = Image.new("RGBa", (IMAGE_SIZE, IMAGE_SIZE))
        size = (CENTRED.size_px, CENTRED.size_px)
        placed = Image.fromarray(sprite).convert("RGBa").resize(size, Image.Resampling.LANCZOS)
        canvas.paste(placed, (margin, margin))
        small.append(np.asarray(canvas.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)))
    target = folder / EVALUATION
    target.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(target / "references.npz", sprites=np.stack(small))
    unseen = unseen_batch(sprites, _UNSEEN)
    np.savez_compressed(
        target / "unseen.npz",
        images=np.stack([item.image for item in unseen]),
        labels=np.array([(item.concept, item.colour) for item in unseen]),
    )
