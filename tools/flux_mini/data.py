"""Stage 1: fetch the source images and pack the sprites of all concepts into one file.

Also writes a contact sheet, so that a person can see what the model will be asked to draw.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.flux_mini import source
from tools.flux_mini.compose import compose, draw_jitter
from tools.flux_mini.concepts import BACKGROUNDS, CONCEPTS, held_out
from tools.flux_mini.paths import WORK

__all__ = ["Composition", "contact_sheet", "draw_composition", "load_sprites"]

_FILE = "sprites.npz"


@dataclass(frozen=True)
class Composition:
    """An image of shape (128, 128, 3) and what it shows."""

    image: NDArray[np.uint8]
    concept: str
    colour: str


def load_sprites(work: Path) -> NDArray[np.uint8]:
    """Sprites of all concepts, shape (concepts, 256, 256, 4), in the order of CONCEPTS."""
    file = work / _FILE
    if not file.exists():
        raise SystemExit(f"{file} is missing: run python -m tools.flux_mini.data first")
    sprites: NDArray[np.uint8] = np.load(file)["sprites"]
    return sprites


def draw_composition(
    sprites: NDArray[np.uint8], draw: random.Random, *, unseen: bool = False
) -> Composition:
    """One random composition.

    Training draws only combinations of concept and colour that are not held out; `unseen`
    draws only those that are.
    """
    index = draw.randrange(len(CONCEPTS))
    kept_back = held_out(index)
    colours = [name for name in BACKGROUNDS if (name in kept_back) == unseen]
    colour = draw.choice(colours)
    image = compose(sprites[index], colour, draw_jitter(draw))
    return Composition(image, CONCEPTS[index].name, colour)


def contact_sheet(images: list[NDArray[np.uint8]], columns: int) -> Image.Image:
    """Images of one size side by side, row by row."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, image in enumerate(images):
        place = (index % columns * width, index // columns * height)
        sheet.paste(Image.fromarray(image), place)
    return sheet


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--work", type=Path, default=WORK, help="scratch folder")
    parser.add_argument("--source", type=Path, help="unpacked npm package, instead of fetching it")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    package = args.source or source.fetch(args.work / "npm")
    sprites = np.stack([source.load_sprite(package, concept) for concept in CONCEPTS])
    np.savez_compressed(args.work / _FILE, sprites=sprites)
    colours = tuple(BACKGROUNDS)
    draw = random.Random(0)
    images = [
        compose(sprites[index], colours[index % len(colours)], draw_jitter(draw))
        for index in range(len(CONCEPTS))
    ]
    contact_sheet(images, 12).save(args.work / "concepts.png")
    print(f"{len(CONCEPTS)} concepts x {len(colours)} backgrounds -> {args.work / _FILE}")


if __name__ == "__main__":
    main()
