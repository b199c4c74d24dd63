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
from quantlab.catalog.machine import this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.errors import CatalogError
from quantlab.lab.runners.local import LocalRunner
from quantlab.lab.runners.zerogpu import ZeroGpuRunner
from quantlab.lab.runners.zerogpu_cost import QUOTAS
from quantlab.ui.bands_view import SHEET, badge, sheet
from quantlab.ui.compare import edit, share
from quantlab.ui.compare import open as opening
from quantlab.ui.compare import run as try_run
from quantlab.ui.compare.cost import cost_note
from quantlab.ui.compare.stage import board
from quantlab.ui.compare.stage.difference import Difference, difference
from quantlab.ui.compare.stage.view import STATES
from quantlab.ui.services import Services
from quantlab.ui.state import Result, Shown, read_comparison
from quantlab.words.metrics import metric
from quantlab.words.outcome import Failure, Outcome
from tests.drawn import awaited
from tests.test_page import CATALOG, MINI, StandIn, call, outcome, take_in, values


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


def test_a_row_of_facts_has_the_badge_of_its_value() -> None:
    near = outcome("bnb-nf4").scored(psnr_db=40.0, ssim=0.995, transformer_rel_l2=0.2)
    text = facts_of("fp32", ("bnb-nf4", near))
    assert re.findall(r'aria-label="(PSNR: [^"]*)\. What', text) == ["PSNR: close"]
    assert "40.0 dB PSNR" in text
    same = facts_of("fp32", ("bnb-nf4", outcome("bnb-nf4").scored(transformer_rel_l2=0.0)))
    assert "PSNR: identical" in same
    assert "badge" not in facts_of("fp32")


def test_seconds_of_a_busy_machine_are_marked() -> None:
    assert "others had 60% of it" in facts_of(("fp32", outcome("fp32", others_cpu=0.6)))
    assert "busy" not in facts_of(("fp32", outcome("fp32", others_cpu=0.1)))


def test_a_failed_plan_says_where_and_what_to_use_instead() -> None:
    failed = Outcome("torchao-fp8dq", "failed", error=Failure("check", "E", "needs a GPU"))
    text = facts_of("fp32", ("torchao-fp8dq", failed))
    assert "Refused before loading" in text
    assert "needs a GPU" in text
    assert re.search(r'data-instead="1">Use [\w-]+ instead', text)
    stopped = Outcome("bnb-nf4", "failed", error=Failure("stopped", "Stopped", "stopped"))
    assert facts_of("fp32", ("bnb-nf4", stopped)).count("stopped</p>") == 1


def test_a_known_difference_is_counted() -> None:
    one = np.full((2, 4, 3), 100)
    other = one.copy()
    other[0, 0] = (103, 90, 100)
    other[1, 2] = (100, 100, 200)
    assert difference(png(one), png(one)) == Difference(0, 0.0)
    assert difference(png(one), png(other)) == Difference(100, 0.25)
    with pytest.raises(ValueError, match="cannot be subtracted"):
        difference(png(one), png(one[:1]))


def kept(image: bytes) -> str:
    """The file of an image as the page keeps it."""
    path = board.picture(image)
    assert path is not None
    return path


def shown_of(*results: str | tuple[str, Outcome], pictures: bool = False) -> Shown:
    """Results of these plans, in grey that grows lighter."""
    pairs = [(each, outcome(each)) if isinstance(each, str) else each for each in results]
    comparison = make_comparison(plans=[p for p, _ in pairs], prompt="a fox", catalog=CATALOG)
    shown = Shown(comparison)
    for index, (plan, found) in enumerate(pairs):
        path = kept(png(np.full((2, 2, 3), 5 * index))) if pictures else None
        shown = shown.put(plan, Result(found, path))
    return shown


def facts_of(*results: str | tuple[str, Outcome]) -> str:
    shown = shown_of(*results)
    plans = [plan for plan, _ in shown.results]
    return str(board.board(plans, shown, MINI, CATALOG)["facts"])


def test_the_strip_begins_with_the_reference_and_the_farthest() -> None:
    far, near = (outcome(p).scored(psnr_db=db) for p, db in (("bnb-nf4", 20.0), ("bf16", 50.0)))
    shown = shown_of("fp32", ("bnb-nf4", far), ("bf16", near), pictures=True)
    html = board.board(["fp32", "bnb-nf4", "bf16"], shown, MINI, CATALOG)["board"]
    assert 'data-far="1"' in html
    assert html.count("data-src=") == 3
    told = re.findall(r'data-differs="([^"]*)"', html)
    assert told == ["", *(f"100% of the pixels differ, at most by {n} of 255." for n in (5, 10))]


def test_a_picture_of_a_run_that_is_still_measured_is_shown() -> None:
    shown = Shown(make_comparison(plans=["fp32", "bf16"], prompt="a fox", catalog=CATALOG))
    drawn = {"fp32": kept(png(np.zeros((2, 2, 3))))}
    more = {"state": "waiting", "running": 0, "drawn": drawn}
    html = board.board(["fp32", "bf16"], shown, MINI, CATALOG, **more)
    assert html["board"].count("data-src=") == 1
    assert "is-running" in html["facts"]
    assert "is-waiting" in html["facts"]


def test_states_differ_in_sign_and_word() -> None:
    for part in range(2):
        assert len({state[part] for state in STATES.values()}) == len(STATES)


def test_pictures_that_are_not_those_of_the_controls_are_marked(services: Services) -> None:
    shown = shown_of("fp32", "bnb-nf4")
    given = {"shown": shown, **values("fp32", "bnb-nf4")}
    moved = {"width": 128, "height": 128, "steps": 8}

    def bar(**more: Any) -> str:
        return str(share.link_of(call(services, **{**given, **moved, **more})).get("changed", ""))

    assert bar() == ""
    assert "these are the earlier pictures" in bar(seed=3)
    assert 'data-tell="undo"' in bar(seed=3)
    assert "A plan is not run yet" in bar(**{"count": 3, "transformer-2": "bf16"})
    back = opening.undo(call(services, **{**given, **moved, "seed": 3}))
    assert back["seed"] == 0


def test_stopping_is_shown_until_the_end(services: Services) -> None:
    job = take_in(services, "one", "fp32", "bnb-nf4")

    async def stopped() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        events = try_run.run(call(services, job=job))
        await anext(events)
        pressed = try_run.stop(call(services, job=job, shown=Shown(job.comparison)))
        *_, last = [update async for update in events]
        return pressed, last

    pressed, last = awaited(stopped())
    assert pressed["facts"].count('class="is-stopping"') == 2
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
    model = CATALOG.models["flux1-dev"]
    own = {"sequence_length": model.defaults.sequence_length, "guidance": model.defaults.guidance}
    usual = cost_note(space, flux("bf16", steps=model.defaults.steps) | own)
    assert int(re.findall(r"\d+", usual)[0]) > QUOTAS["without an account"]
    assert "without an account has 120 a day: it is refused there." in usual
    assert "none of these plans" in cost_note(space, flux("fp32"))
    assert cost_note(space, flux("nonsense")) == ""


def test_a_run_on_this_machine_costs_no_quota(services: Services) -> None:
    assert (
        cost_note(replace(services, runner=LocalRunner(CATALOG)), values("fp32", "bnb-nf4")) == ""
    )


def test_plans_of_another_model_are_seen_on_the_small_one_and_that_is_said(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = {"hardware": "rtx-3060-12gb", "memory": "", "ram": "", "bits": "", "library": ""}
    asked = {f"pick-{name}": value for name, value in question.items()}
    asked |= {"pick-model": "flux1-dev", "pick-needs": []}
    given = {"shown": Shown(), **values("fp32", "bnb-nf4"), **asked}
    for hardware, model in (("cpu", None), ("cuda", "flux1-dev")):
        machine = replace(this_machine(), hardware=(hardware,))
        monkeypatch.setattr(edit, "this_machine", lambda machine=machine: machine)
        found = edit.try_best(call(services, **given))
        assert found.get("model") == model
        assert ("This server has no GPU" in found["banner"]) == (model is None)
        assert "Plan A" in found["board"]
        row = edit.try_scheme(call(services, event={"scheme": "sdnq-int8"}, **given))
        assert row.get("model") == model
        assert ("This server has no GPU" in row["banner"]) == (model is None)
        assert "sdnq-int8" in row["board"]
        first = row["transformer-0"]
        assert first == "fp32" if model is None else first["value"] == "bf16"
    monkeypatch.setattr(edit, "this_machine", lambda: replace(this_machine(), hardware=("cpu",)))
    for gpu in ("rtx-3060-12gb", "rtx-4060-laptop-8gb", "rx-7900-xtx-24gb", "apple-36gb"):
        given |= {"pick-hardware": gpu, "pick-model": "flux3-klein"}
        found = edit.try_best(call(services, **given))
        kept = {name: value for name, value in found.items() if name in given}
        plans = read_comparison({**given, **kept, "count": found["count"]}, CATALOG).plans
        assert len(plans) > 1, "what is proposed with a part left out is no plan without a denoiser"
        assert [str(plan) for plan in plans].count("fp32") == 1
        assert not any(plan.compiled for plan in plans), "a CPU compiles for longer than it draws"
    other = {"model": "flux1-dev", "before": "flux-mini", "transformer-0": "fp32"}
    changed = edit.change_model(call(services, **other))
    assert changed["transformer-0"]["value"] == "bf16"
    assert "FLUX.1-dev" in changed["limits"]
