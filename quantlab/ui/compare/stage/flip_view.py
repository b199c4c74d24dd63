"""FLIP's map of two pictures of the stage, made when a visitor asks to see it and kept.

Asked for by the addresses of the two pictures (static/stage.js), which must be files that the page
has offered; answered with the map as a picture and the sentence that stands under it.
"""

from __future__ import annotations

import asyncio
import base64
import io
import re
from pathlib import Path
from typing import Any

from gradio.context import Context
from gradio.utils import get_upload_folder

from quantlab.lab.bench.fidelity import image_array
from quantlab.lab.bench.flip import flip_map
from quantlab.ui.blocks import Page

__all__ = ["NAME", "flip_answer", "offer_flip_maps"]

NAME = "flip"
MOST = 2048 * 2048
"""Pixels of a picture; a larger one would keep the server for many seconds."""
_OFFERED = re.compile(r"/([0-9a-f]{64})/(image\.[a-z]+)$")
QUALITY = 85
"""Of the JPEG."""


def offer_flip_maps() -> None:
    """Let the page that is being built answer what static/stage.js asks."""
    page = Context.root_block
    assert isinstance(page, Page)
    page.answers.add(NAME, flip_answer)


async def flip_answer(asked: list[Any]) -> list[Any]:
    """A data address and a sentence for the addresses of picture and reference.

    Raises:
        ValueError: they are no two pictures of this page, or of different sizes.
    """
    if len(asked) != 2:
        raise ValueError("A map is of two pictures.")
    one, other = (_file(address) for address in asked)
    return await asyncio.to_thread(_drawn, one, other)


def _file(address: Any) -> Path:
    found = _OFFERED.search(address) if isinstance(address, str) else None
    path = Path(get_upload_folder(), *found.groups()) if found else None
    if path is None or not path.is_file():
        raise ValueError("This picture is no longer on the page.")
    return path


def _drawn(one: Path, other: Path) -> list[str]:
    import numpy as np
    from PIL import Image

    with Image.open(one) as picture, Image.open(other) as reference:
        if picture.size != reference.size:
            raise ValueError("Pictures of different sizes have no map.")
        if picture.width * picture.height > MOST:
            raise ValueError("The picture is too large for a map.")
        found = flip_map(image_array(picture.convert("RGB")), image_array(reference.convert("RGB")))
    data = io.BytesIO()
    pixels = np.rint(np.clip(found, 0, 1) * 255).astype("uint8")
    Image.fromarray(pixels).save(data, "JPEG", quality=QUALITY)
    said = f"FLIP {found.mean():.4f}: bright is where a person who flips between the two sees it."
    return [f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}", said]
