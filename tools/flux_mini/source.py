"""The source images: Microsoft's Fluent 3D emoji (MIT), from an npm package.

Fetched when the recipe runs and kept in the scratch folder; never needed at run time.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import emoji
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.flux_mini.concepts import Concept

__all__ = ["PACKAGE", "SPRITE_SIZE", "fetch", "load_sprite"]

PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"
SPRITE_SIZE = 256
"""Width and height of a source image in pixels."""


def fetch(folder: Path) -> Path:
    """Download the package with `npm pack` into `folder` and unpack it there.

    Returns the unpacked package folder. Raises RuntimeError where npm fails or is missing.
    """
    unpacked = folder / "package"
    if (unpacked / "assets").is_dir():
        return unpacked
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["npm", "pack", PACKAGE, "--silent"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"npm pack {PACKAGE} failed: {error}; or give --source") from error
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return unpacked


def load_sprite(package: Path, concept: Concept) -> NDArray[np.uint8]:
    """RGBA image of a concept, shape (256, 256, 4).

    Raises FileNotFoundError where the package has no image of that emoji.
    """
    symbol = emoji.emojize(f":{concept.short_code}:", language="en")
    points = [f"{ord(char):x}" for char in symbol]
    for names in (points, [p for p in points if p != "fe0f"], [*points, "fe0f"]):
        file = package / "assets" / f"{'-'.join(names)}.webp"
        if file.exists():
            image = Image.open(file).convert("RGBA")
            if image.size != (SPRITE_SIZE, SPRITE_SIZE):
                image = image.resize((SPRITE_SIZE, SPRITE_SIZE), Image.Resampling.LANCZOS)
            return np.asarray(image, dtype=np.uint8)
    raise FileNotFoundError(f"no image for {concept.name!r} in {package}")
