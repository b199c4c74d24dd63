"""The picture that other sites show beside a link: a sentence, up to four pictures, what they are.

1200 by 630 pixels, which the sites that draw such cards ask for. Prompts are foreign text; they are
drawn as text.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from quantlab.record.drawing import PAPER, Page, drawable, font, wrapped

__all__ = ["HEIGHT", "MOST", "WIDTH", "Tile", "draw_card"]

WIDTH, HEIGHT = 1200, 630
MOST = 4
"""Pictures; more would be too small to tell apart."""
MARGIN, GAP = 48, 24
INK, DIM, ACCENT = (15, 23, 42), (71, 85, 105), (15, 118, 110)
LABEL, FOOT = font(26, bold=True), font(24)
FOOT_HEIGHT = 44


@dataclass(frozen=True)
class Tile:
    """A picture, PNG or WebP, and what it is called."""

    label: str
    image: bytes


def draw_card(title: str, tiles: Sequence[Tile], foot: str) -> bytes:
    """A PNG of ``title`` over ``tiles``, of which the first ``MOST`` are drawn, over ``foot``."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    head = Page(WIDTH - 2 * MARGIN)
    head.write(title, font(42 if tiles else 64, bold=True), INK, 2 if tiles else 5)
    sheet.paste(head.image(), (MARGIN, MARGIN))
    if tiles:
        _row(sheet, tiles[:MOST], MARGIN + head.height + 16)
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((0, HEIGHT - 8, WIDTH, HEIGHT), fill=ACCENT)
    line = wrapped(drawable(foot), FOOT, WIDTH - 2 * MARGIN, 1)
    pen.text((MARGIN, HEIGHT - 8 - FOOT_HEIGHT), line[0] if line else "", font=FOOT, fill=DIM)
    file = io.BytesIO()
    sheet.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _row(sheet: Image.Image, tiles: Sequence[Tile], top: int) -> None:
    """The pictures side by side in the middle, as large as the room between head and foot lets."""
    room = HEIGHT - 8 - FOOT_HEIGHT - 12 - top - 40
    side = min(room, (WIDTH - 2 * MARGIN - (len(tiles) - 1) * GAP) // len(tiles))
    left = (WIDTH - len(tiles) * side - (len(tiles) - 1) * GAP) // 2
    pen = ImageDraw.Draw(sheet)
    for tile in tiles:
        image = Image.open(io.BytesIO(tile.image)).convert("RGB")
        image.thumbnail((side, side), Image.Resampling.BICUBIC)
        if image.width < side and image.height < side:
            scale = side / max(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            image = image.resize(size, Image.Resampling.BICUBIC)
        sheet.paste(image, (left + (side - image.width) // 2, top + 40))
        name = wrapped(drawable(tile.label), LABEL, side, 1)
        pen.text((left, top), name[0] if name else "", font=LABEL, fill=INK)
        left += side + GAP
