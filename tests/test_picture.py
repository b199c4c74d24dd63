"""The picture to post: every image and every figure is on it, whatever the texts are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFont

from quantlab.catalog.comparison import make_comparison
from quantlab.record import drawing, picture
from quantlab.record.picture import WIDTH, Panel, draw
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Failure, Outcome
from quantlab.words.settings import setting

COLORS = (
    (200, 30, 30),
    (30, 160, 60),
    (40, 60, 210),
    (220, 180, 20),
    (150, 40, 190),
    (0, 180, 190),
)
PLANS = ("fp32", "bnb-nf4", "torchao-int8wo", "quanto-int8", "gguf-q4_0", "sdnq-int8")
ORIGIN = "2026-11-21 08:21 UTC on a laptop, torch 2.13.0"
EVIL = "<script>alert(1)</script> \u202e 🦊 日本語 \x00\x1b[31m \udc80 & “x”"


def png(color: tuple[int, int, int], width: int = 64, height: int = 64) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, format="PNG")
    return file.getvalue()


def comparison(count: int, prompt: str = "a fox") -> Comparison:
    return make_comparison(plans=PLANS[:count], prompt="a fox").changed(prompt=prompt)


def panel(index: int, origin: str = ORIGIN, across_modes: bool = False, **scores: float) -> Panel:
    outcome = Outcome(
        PLANS[index],
        "ok",
        weights_bytes={"transformer": (9 - index) * 2**20},
        peak_bytes=2**30,
        peak_kind="rss",
        latency_s=(1.5,),
        across_modes=across_modes,
        scores={**({"psnr_db": 30.0} if index else {}), **scores},
    )
    return Panel(PLANS[index], outcome, png(COLORS[index]), origin)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    assert image.width == WIDTH
    return image.convert("RGB")


def area(image: Image.Image, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The box that holds every pixel of ``color``; all of it must have that color."""
    found = (np.asarray(image) == color).all(axis=2)
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    assert found[box[1] : box[3], box[0] : box[2]].all()
    return box


def ink(image: Image.Image, box: tuple[int, int, int, int]) -> int:
    """How many dark pixels there are in ``box``."""
    return int((np.asarray(image.crop(box)).sum(axis=2, dtype=int) < 300).sum())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_each_image_appears_whole_with_its_title_and_figures(count: int) -> None:
    image = opened(draw(comparison(count), [panel(i) for i in range(count)], "http://a.b/?v=1"))
    boxes = [area(image, COLORS[index]) for index in range(count)]
    for left, top, right, bottom in boxes:
        assert right - left == bottom - top >= 250
        assert ink(image, (left, top - 50, right, top)) > 50
        assert ink(image, (left, bottom, right, bottom + 130)) > 100
    assert ink(image, (0, 0, WIDTH, 100)) > 100
    assert len({(left, top) for left, top, _, _ in boxes}) == count


def test_a_failure_says_why_where_its_image_would_be() -> None:
    def drawn(message: str) -> Image.Image:
        error = Failure("check", "Unavailable", message)
        failed = Panel("bnb-nf4", Outcome("bnb-nf4", "failed", error=error), None, ORIGIN)
        return opened(draw(comparison(2), [panel(0), failed]))

    short, long = drawn("no GPU"), drawn("no GPU " * 20)
    left, top, right, bottom = area(short, COLORS[0])
    beside = (right + picture.GAP, top, WIDTH - picture.MARGIN, bottom)
    assert short.getpixel((beside[0] + 10, top + 10)) == picture.BAD_SOFT
    assert 100 < ink(short, beside) < ink(long, beside)
    assert left == picture.MARGIN


def test_what_was_not_run_is_said_and_a_broken_reference_leaves_no_shares() -> None:
    failed = Panel("fp32", Outcome("fp32", "failed", error=Failure("load", "X", "no")))
    data = draw(comparison(3), [failed, panel(1, ssim=0.9), Panel("torchao-int8wo", None)])
    area(opened(data), COLORS[1])


def test_a_score_across_modes_has_a_line_of_its_own() -> None:
    plain, across = (
        opened(draw(comparison(2), [panel(0), panel(1, across_modes=mixed)]))
        for mixed in (False, True)
    )
    _, _, right, bottom = area(plain, COLORS[0])
    below = (right + picture.GAP, bottom, WIDTH - picture.MARGIN, bottom + 200)
    assert ink(across, below) > ink(plain, below) + 100


@pytest.mark.parametrize(
    "prompt", [EVIL, "x" * setting("prompt").longest, "🦊" * 300, "a " * 500, ""]
)
def test_no_text_breaks_it(prompt: str) -> None:
    error = Failure("run", "E", prompt or "no")
    failed = Panel(prompt or "bnb-nf4", Outcome("bnb-nf4", "failed", error=error), None, prompt)
    image = opened(draw(comparison(2, prompt), [panel(0, prompt), failed], prompt))
    area(image, COLORS[0])
    assert image.height < 3000


def test_lines_fit_and_nothing_is_lost_before_the_ellipsis() -> None:
    face = drawing.font(22)
    lines = drawing.wrapped("one two " * 40, face, 300, 50)
    assert all(face.getlength(line) <= 300 for line in lines)
    assert " ".join(lines) == ("one two " * 40).strip()
    cut = drawing.wrapped("one two " * 40, face, 300, 2)
    assert len(cut) == 2
    assert cut[-1].endswith("…")
    assert face.getlength(cut[-1]) <= 300


def test_without_dejavu_pillow_s_own_font_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise OSError("cannot open resource")

    drawing.font.cache_clear()
    own = ImageFont.load_default(22)
    monkeypatch.setattr(drawing.ImageFont, "truetype", missing)
    monkeypatch.setattr(drawing.ImageFont, "load_default", lambda _: own)
    try:
        area(opened(draw(comparison(2), [panel(0), panel(1)])), COLORS[1])
    finally:
        drawing.font.cache_clear()


def test_origins_stand_under_the_columns_where_they_differ() -> None:
    same = opened(draw(comparison(2), [panel(0), panel(1)]))
    apart = opened(draw(comparison(2), [panel(0), panel(1, "2026-11-22 on another machine")]))

    def below(image: Image.Image) -> int:
        """Ink in the second column, under its figures."""
        left, _, _, bottom = area(image, COLORS[1])
        return ink(image, (left, bottom + 130, image.width, image.height))

    assert below(same) == 0
    assert below(apart) > 100
