"""Text and images set on a sheet with Pillow: wrapping, fonts, text that any font can take.

DejaVu where the system has it, else the font that comes with Pillow.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

__all__ = ["PAPER", "Color", "Font", "Page", "drawable", "font", "wrapped"]

Font = Any
Color = tuple[int, int, int]
PAPER: Color = (255, 255, 255)


class Page:
    """Text and images, one under the other, in a column of ``width`` pixels."""

    def __init__(self, width: int) -> None:
        self.width, self.height = width, 0
        self._texts: list[tuple[int, str, Font, Color]] = []
        self._images: list[tuple[int, Image.Image]] = []

    def write(self, text: str, face: Font, color: Color, most: int = 8, least: int = 0) -> None:
        """Add a paragraph, wrapped, of ``most`` lines and as high as ``least``."""
        step = round(face.size * 1.35)
        lines = wrapped(drawable(text), face, self.width, most)
        for number, line in enumerate(lines):
            self._texts.append((self.height + number * step, line, face, color))
        self.height += step * max(len(lines), least)

    def space(self, height: int) -> None:
        """Leave ``height`` pixels free."""
        self.height += height

    def paste(self, image: Image.Image) -> None:
        """Add an image, with room around it."""
        self._images.append((self.height + 8, image))
        self.height += image.height + 20

    def image(self, background: Color = PAPER) -> Image.Image:
        """All of it."""
        sheet = Image.new("RGB", (self.width, max(1, self.height)), background)
        pen = ImageDraw.Draw(sheet)
        for y, line, face, color in self._texts:
            pen.text((0, y), line, font=face, fill=color)
        for y, image in self._images:
            sheet.paste(image, (0, y))
        return sheet


def drawable(text: str) -> str:
    """On one line, without control characters and halves of characters."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(c if c.isprintable() else " " for c in whole).split())


def wrapped(text: str, face: Font, width: int, most: int) -> list[str]:
    """Lines that fit ``width`` pixels; words that are too long are cut, more than ``most`` end
    in an ellipsis.
    """
    lines: list[str] = []
    rest = text
    while rest and len(lines) < most:
        count = _fitting(rest, face, width)
        cut = rest.rfind(" ", 0, count + 1) if count < len(rest) else -1
        take = cut if cut > 0 else count
        lines.append(rest[:take].rstrip())
        rest = rest[take:].lstrip()
    if rest:
        lines[-1] = lines[-1][: max(0, _fitting(lines[-1] + "…", face, width) - 1)] + "…"
    return lines


def _fitting(text: str, face: Font, width: int) -> int:
    """How many characters of ``text`` fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if face.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low


@cache
def font(size: int, *, bold: bool = False) -> Font:
    try:
        return ImageFont.truetype("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
