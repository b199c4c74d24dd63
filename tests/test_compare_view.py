"""What stands beside and under the columns, without a browser: bands, difference, states, cost."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quantlab.catalog.bands import BANDED, load_bands
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.errors import CatalogError
from quantlab.lab.runners.local import LocalRunner
from quantlab.lab.runners.zerogpu import ZeroGpuRunner
from quantlab.lab.runners.zerogpu_cost import QUOTAS
from quantlab.ui.bands_view import SHEET, badge, sheet
from quantlab.ui.compare import run as try_run
from quantlab.ui.compare.cost import cost_note
from quantlab.ui.compare.stage import board
from quantlab.ui.compare.stage import view as try_view
from quantlab.ui.compare.stage.difference import difference
from quantlab.ui.compare.wiring import OVERLAY
from quantlab.ui.services import Services
from quantlab.ui.state import Result, Shown
from quantlab.words.metrics import metric
from quantlab.words.outcome import Failure, Outcome, Progress
from tests.drawn import awaited
from tests.test_page import CATALOG, StandIn, call, outcome, take_in, values


def png(pixels: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file, format="PNG")
    return file.getvalue()


def test_a_band_begins_at_its_limit() -> None:
    bands = load_bands()
    words = [band.word for band in bands.bands]
    for row in BANDED:
        assert bands.of(row, None).word == words[0]
        limits = [band.limits[row.key] for band in bands.bands[1:-1]]
        worse = 1 if row.best == "low" else -1
        for index, limit in enumerate(limits, start=1):
            assert bands.of(row, limit).word == words[index]
            assert bands.of(row, limit + worse * 1e-9).word == words[index + 1]
    assert bands.of(metric("transformer_rel_l2"), 0.0).word == words[0]
    assert bands.of(metric("psnr_db"), 0.0).word == words[-1]


def test_every_limit_says_where_it_is_from() -> None:
    bands = load_bands()
    for scale in bands.scales:
        assert scale.source or "our own" in scale.basis
    text = sheet()
    for band in bands.bands:
        assert f" {band.word}</span>" in text
    for url in {*(s.url for s in bands.scales), *(m.url for m in bands.marks)} - {""}:
        assert f'href="{url}"' in text
    assert "our own convention" in text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("psnr_db = 33.0", "psnr_db = 46.0", r"psnr_db: expected a limit farther out"),
        ("transformer_rel_l2 = 0.03", "", r"transformer_rel_l2: is missing"),
        ('metric = "ssim"', 'metric = "mood"', r"'mood' is not one of"),
        ("https://github.com/xlite", "http://github.com/xlite", r"does not start with https"),
    ],
)
def test_a_file_that_breaks_the_schema_is_named(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    text = (PROJECT / "data" / "bands.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bands.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CatalogError, match=r"data/bands\.toml: .*" + expected):
        load_bands(tmp_path)


def test_a_badge_has_a_word_a_sign_and_its_meaning_a_click_away() -> None:
    found = badge("psnr_db", 30.0)
    assert " visible</button>" in found
    assert "●●○○○" in found
    assert f'popovertarget="{SHEET}"' in found
    assert f'id="{SHEET}"' in sheet()


def test_figures_carry_the_badges_of_their_values() -> None:
    reference = Result(outcome("fp32"))
    near = outcome("bnb-nf4").scored(psnr_db=40.0, ssim=0.995, transformer_rel_l2=0.2)
    text = try_view.figures(Result(near), reference, first=False)
    assert re.findall(r'aria-label="([^"]*)\. What', text) == [
        "PSNR: close",
        "SSIM: very close",
        "One-step error: far",
    ]
    same = try_view.figures(Result(outcome("bnb-nf4")), reference, first=False)
    assert "PSNR: identical" in same
    assert "badge" not in try_view.figures(reference, reference, first=True)


def test_the_difference_of_equal_images_is_black() -> None:
    image = png(np.random.default_rng(0).integers(0, 256, (5, 7, 3)))
    found = difference(image, image, 16)
    assert not np.asarray(found.image).any()
    assert (found.largest, found.share) == (0, 0.0)


def test_a_known_difference_is_amplified_and_ends_at_white() -> None:
    one = np.full((2, 4, 3), 100)
    other = one.copy()
    other[0, 0] = (103, 90, 100)
    other[1, 2] = (100, 100, 200)
    found = difference(png(one), png(other), 8)
    pixels = np.asarray(found.image)
    assert pixels[0, 0].tolist() == [24, 80, 0]
    assert pixels[1, 2].tolist() == [0, 0, 255]
    assert np.count_nonzero(pixels.any(axis=2)) == 2
    assert (found.largest, found.share) == (100, 0.25)
    with pytest.raises(ValueError, match="cannot be subtracted"):
        difference(png(one), png(one[:1]), 8)


def kept(image: bytes) -> str:
    """The file of an image as the page keeps it."""
    path = board.picture(image)
    assert path is not None
    return path


def shown_of(*results: tuple[str, Result]) -> Shown:
    comparison = make_comparison(plans=["fp32", "bnb-nf4"], prompt="a fox", catalog=CATALOG)
    return Shown(comparison, results)


def test_a_difference_says_what_it_shows_or_why_not() -> None:
    black, grey = png(np.zeros((2, 2, 3))), png(np.full((2, 2, 3), 5))
    both = shown_of(
        ("fp32", Result(outcome("fp32"), kept(black))),
        ("bnb-nf4", Result(outcome("bnb-nf4"), kept(grey))),
    )
    found = board.difference_updates("bnb-nf4", 4, both)
    image, note = found["difference"], found["difference-note"]
    assert image["value"].getpixel((0, 0)) == (20, 20, 20)
    assert "4 times" in note
    assert "100% of the pixels differ, at most by 5 of 255" in note
    assert "not one pixel" in board.difference_updates("fp32", 4, both)["difference-note"]
    failed = Outcome("fp32", "failed", error=Failure("load", "E", "no"))
    alone = shown_of(("fp32", Result(failed)), both.results[1])
    found = board.difference_updates("bnb-nf4", 4, alone)
    assert found["difference"]["value"] is None
    assert "The reference has no image" in found["difference-note"]


def test_every_update_of_the_panels_has_its_component() -> None:
    black = png(np.zeros((2, 2, 3)))
    both = shown_of(
        ("fp32", Result(outcome("fp32"), kept(black))),
        ("bnb-nf4", Result(outcome("bnb-nf4"), kept(black))),
    )
    for shown in (Shown(), both):
        for choose in (True, False):
            found = board.slider_updates(["fp32", "bnb-nf4"], shown, choose=choose)
            assert found.keys() <= set(OVERLAY)
    lists = board.slider_updates(["fp32", "bnb-nf4"], both)
    assert lists["subtract"]["choices"] == [("B · bnb-nf4", "bnb-nf4")], (
        "the reference is not subtracted"
    )


def test_states_differ_in_sign_word_and_class() -> None:
    heads = {state: try_view.head(0, "fp32", state) for state in try_view.STATES}
    for part in (r'aria-hidden="true">(.)</span> \S', r"</span> ([^<]+)</p>", r"ql-state (is-\w+)"):
        found = [re.findall(part, head)[-1] for head in heads.values()]
        assert len(set(found)) == len(heads)


def test_stopping_is_shown_until_the_end(services: Services) -> None:
    job = take_in(services, "one", "fp32", "bnb-nf4")

    async def stopped() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        events = try_run.run(call(services, job=job))
        await anext(events)
        pressed = try_run.stop(call(services, job=job, shown=Shown(job.comparison)))
        *_, last = [update async for update in events]
        return pressed, last

    pressed, last = awaited(stopped())
    assert all("is-stopping" in pressed[f"head-{n}"] for n in range(2))
    under_way = try_run._underway(
        services, job.comparison, Progress(1, "step 1 of 2", 0.5), stopping=True
    )
    assert "is-stopping" in under_way["head-1"]
    settled = try_run.settle(call(services, job=job, shown=last["shown"]))
    assert settled["run"]["value"] == "Run"
    assert "2 stopped" in settled["progress"]


@pytest.fixture
def services() -> Services:
    return Services(CATALOG, StandIn(), None)


def flux(*plans: str, steps: int = 28) -> dict[str, Any]:
    return values(*plans, steps=steps, model="flux1-dev", width=1024, height=1024)


@pytest.fixture
def space(services: Services) -> Services:
    """Outside a Space the real runner can be made, and asked what it would cost."""
    return replace(services, runner=ZeroGpuRunner(CATALOG))


def test_zerogpu_s_seconds_are_said_before_a_run(space: Services) -> None:
    def seconds(*plans: str, steps: int = 28) -> int:
        said = re.findall(
            r"About (\d+) quota seconds of ZeroGPU", cost_note(space, flux(*plans, steps=steps))
        )
        return int(said[0])

    comparison = make_comparison(
        model="flux1-dev",
        plans=["bf16"],
        prompt="a fox",
        steps=28,
        width=1024,
        height=1024,
        guidance=4.0,
        sequence_length=32,
        catalog=CATALOG,
    )
    assert seconds("bf16") == space.runner.cost_s(comparison)
    assert seconds("bf16", "bnb-nf4") > seconds("bf16")
    assert seconds("bf16", steps=50) > seconds("bf16")
    assert seconds("bf16", steps=50) > QUOTAS["without an account"] > seconds("bf16", steps=8)
    assert "refused" not in cost_note(space, flux("bf16", steps=8))
    note = cost_note(space, flux("bf16", steps=50))
    assert "A visitor without an account has 120 a day: it is refused there." in note
    assert "none of these plans" in cost_note(space, flux("fp32"))
    assert cost_note(space, flux("nonsense")) == ""


def test_a_run_on_this_machine_costs_no_quota(services: Services) -> None:
    assert (
        cost_note(replace(services, runner=LocalRunner(CATALOG)), values("fp32", "bnb-nf4")) == ""
    )
