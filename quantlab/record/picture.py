"""A whole comparison as one picture to post: prompt, settings, every image with its figures.

Says by itself what it shows: machine, versions, dates and the link stand under the images, and a
plan that failed says why where its image would be. Prompts and messages are foreign text; they are
drawn as text, and what a font cannot draw becomes an empty box.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from quantlab.record.drawing import PAPER, Color, Page, font, wrapped
from quantlab.words.comparison import Comparison
from quantlab.words.metrics import in_words
from quantlab.words.outcome import Outcome
from quantlab.words.outcome_text import modes_text
from quantlab.words.settings import described
from quantlab.words.text import shown as visible
from quantlab.words.units import seconds, size

__all__ = ["WIDTH", "Panel", "draw"]

WIDTH = 1400
"""Pixels; the height follows from what there is to say."""

MARGIN, GAP = 48, 28
INK, DIM, LINE = (15, 23, 42), (71, 85, 105), (203, 213, 225)
BAD, BAD_SOFT = (168, 38, 28), (251, 230, 227)
ACCENT = (15, 118, 110)
MAX_PROMPT_LINES, MAX_ERROR_LINES = 6, 12


@dataclass(frozen=True)
class Panel:
    """One plan of the picture. ``origin`` says where and when it was measured."""

    plan: str
    outcome: Outcome | None
    """None where it was not run."""
    image_png: bytes | None = None
    origin: str = ""


def draw(comparison: Comparison, panels: Sequence[Panel], link: str = "") -> bytes:
    """A PNG, ``WIDTH`` pixels wide, of ``panels`` in the order of the comparison's plans."""
    columns = _columns(len(panels))
    width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
    shared = {panel.origin for panel in panels if panel.outcome}
    origin = shared.pop() if len(shared) == 1 else ""
    pieces = [_head(comparison)]
    for start in range(0, len(panels), columns):
        shown = [replace(p, origin="") if origin else p for p in panels[start : start + columns]]
        pieces.append(_row(shown, start, width, panels[0].outcome))
    return _png(_stack([*pieces, _foot(origin, link)]))


def _columns(count: int) -> int:
    return count if count <= 4 else 3


def _head(comparison: Comparison) -> Image.Image:
    c = comparison
    said = ", ".join([c.model, *described(dict(c.settings))])
    settings = f"{said}; reference {c.plans[0]}"
    page = Page(WIDTH - 2 * MARGIN)
    page.write(f"“{visible(c.prompt)}”", font(34, bold=True), INK, MAX_PROMPT_LINES)
    page.space(8)
    page.write(settings, font(22), DIM)
    return page.image()


def _row(panels: Sequence[Panel], start: int, width: int, reference: Outcome | None) -> Image.Image:
    titles = [_title(panel, start + i) for i, panel in enumerate(panels)]
    lines = max(len(wrapped(title, font(22, bold=True), width, 4)) for title in titles)
    cells = []
    for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        page = Page(width)
        page.write(title, font(22, bold=True), INK, 4, least=lines)
        _cell(page, panel, reference, first=start + i == 0)
        cells.append(page.image())
    return _side_by_side(cells)


def _title(panel: Panel, index: int) -> str:
    return f"{'ABCDEF'[index]}  {panel.plan.replace(',', ', ')}"


def _cell(page: Page, panel: Panel, reference: Outcome | None, *, first: bool) -> None:
    width = page.width
    outcome = panel.outcome
    if panel.image_png is not None:
        page.paste(_fitted(panel.image_png, width))
    elif outcome is not None and outcome.error is not None:
        page.paste(_failure(outcome, width))
    else:
        page.paste(_note("Not run", width))
    if outcome is not None and outcome.error is None:
        for text in _figures(outcome, reference, first=first):
            page.write(text, font(22), INK)
    if panel.origin:
        page.write(panel.origin, font(17), DIM)


def _figures(outcome: Outcome, reference: Outcome | None, *, first: bool) -> list[str]:
    base = reference if not first else None
    lines = []
    if weights := outcome.cost("weights_bytes"):
        lines.append(f"Weights {size(weights)}{_share('weights_bytes', outcome, base)}")
    if outcome.peak_bytes:
        lines.append(f"Peak {size(outcome.peak_bytes)} ({outcome.peak_kind})")
    if (latency := outcome.cost("latency_s")) is not None:
        lines.append(f"Latency {seconds(latency)}{_share('latency_s', outcome, base)}")
    if first:
        return [*lines, "Reference"]
    if outcome.identical or not outcome.scores:
        lines.append("Identical to A" if outcome.identical else "No reference to compare with")
    else:
        lines.append(", ".join(in_words(outcome.scores).values()))
    modes = modes_text(outcome.plan, across=outcome.across_modes)
    return [*lines, modes.capitalize()] if modes else lines


def _share(key: str, outcome: Outcome, base: Outcome | None) -> str:
    value, whole = outcome.cost(key), base.cost(key) if base else None
    return f", {value / whole:.0%} of A" if value and whole else ""


def _failure(outcome: Outcome, width: int) -> Image.Image:
    assert outcome.error is not None
    page = Page(width - 40)
    page.write(f"Failed at {outcome.error.stage}", font(22, bold=True), BAD)
    page.write(outcome.error.message, font(20), INK, MAX_ERROR_LINES)
    return _framed(page.image(background=BAD_SOFT), width, BAD_SOFT, BAD)


def _note(text: str, width: int) -> Image.Image:
    page = Page(width - 40)
    page.write(text, font(22), DIM)
    return _framed(page.image(), width, PAPER, LINE)


def _framed(inner: Image.Image, width: int, fill: Color, border: Color) -> Image.Image:
    box = Image.new("RGB", (width, max(width, inner.height + 40)), fill)
    box.paste(inner, (20, 20))
    ImageDraw.Draw(box).rectangle((0, 0, box.width - 1, box.height - 1), outline=border, width=2)
    return box


def _foot(origin: str, link: str) -> Image.Image:
    page = Page(WIDTH - 2 * MARGIN)
    if origin:
        page.write(f"Measured {origin}", font(19), DIM)
    page.write("Scores are taken against A. Made with quantlab.", font(19), DIM)
    if link:
        page.write(link, font(19), ACCENT)
    return page.image()


def _fitted(png: bytes, width: int) -> Image.Image:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return image.resize(
        (width, round(image.height * width / image.width)), Image.Resampling.BICUBIC
    )


def _side_by_side(cells: Sequence[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (WIDTH - 2 * MARGIN, max(cell.height for cell in cells)), PAPER)
    x = 0
    for cell in cells:
        row.paste(cell, (x, 0))
        x += cell.width + GAP
    return row


def _stack(pieces: Sequence[Image.Image]) -> Image.Image:
    height = sum(piece.height for piece in pieces) + GAP * (len(pieces) - 1) + 2 * MARGIN
    whole = Image.new("RGB", (WIDTH, height), PAPER)
    y = MARGIN
    for piece in pieces:
        whole.paste(piece, (MARGIN, y))
        y += piece.height + GAP
    return whole


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()
