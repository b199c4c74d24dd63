"""Tuning from the page: a mix is tuned in small, becomes a plan, and stays on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

import app
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.own.mixes import Growing, is_own, mixes_folder
from quantlab.catalog.table import load_catalog
from quantlab.errors import StoreError
from quantlab.lab.runners.local import LocalRunner
from quantlab.ui.blocks import Page
from quantlab.ui.compare.share import link_to, share_run
from quantlab.ui.compare.tab import build_try
from quantlab.ui.named import Updates
from quantlab.ui.services import Services
from quantlab.ui.state import Result, Shown
from quantlab.ui.tuning import section
from tests.drawn import drawn
from tests.test_page import call, outcome
from tests.test_tune import few_schemes

SMALL = {"model": "flux-mini", "steps": 1, "width": 64, "height": 64}
PAGE = {"plan": "fp32", "count": 2} | {
    f"{part}-{index}": "" for part in ("transformer", "encoder") for index in range(6)
}


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    catalog = few_schemes("sdnq-uint4", "sdnq-int8", method="sdnq")
    catalog = replace(catalog, schemes=Growing(catalog.schemes))
    return Services(catalog=catalog, runner=LocalRunner(catalog), store=None)


def tuned(services: Services, **given: Any) -> list[Updates]:
    asked = {"method": "sdnq", "bits": 6.0, "count": 2, **SMALL, **given}
    return drawn(section.run(call(services, "me", **asked)))


def test_a_mix_is_tuned_and_is_one_more_plan_that_no_link_carries(services: Services) -> None:
    before = set(services.catalog.schemes)
    told = tuned(services)
    assert any("left" in str(each["tune-progress"]) for each in told)
    last = told[-1]
    (mix,) = set(services.catalog.schemes) - before
    assert is_own(mix)
    assert last["tuned"] == mix
    assert mix in str(last["tune-progress"])
    assert "usual layers in 16 bits" in last["tune-result"]
    assert "On 2 prompts that were not tuned on" in last["tune-result"]
    assert not services.jobs.busy("tune me")
    script = (mixes_folder() / "flux-mini-sdnq-6-2" / "image.py").read_text(encoding="utf-8")
    assert "modules_dtype_dict" in script

    columns = {**PAGE, "transformer-0": "fp32", "transformer-1": "gguf-q4_k"}
    laid = section.put(call(services, "me", tuned=mix, shown=Shown(), model="flux-mini", **columns))
    assert laid["count"] == 3
    assert laid["transformer-2"]["value"] == mix
    assert mix in {key for _, key in laid["transformer-2"]["choices"]}
    comparison = make_comparison(plans=["fp32", mix], prompt="", catalog=services.catalog)
    assert "No link: a mix of your own" in link_to(comparison, None, services)
    shown = Shown(comparison).put("fp32", Result(outcome("fp32")))
    assert "cannot be shared" in share_run(call(services, "me", shown=shown))["shared"]

    # Started anew, the page finds it again; what cannot be read is left out.
    (mixes_folder() / "broken").mkdir()
    (mixes_folder() / "broken" / "mix.toml").write_text("bits = 4", encoding="utf-8")
    assert set(app.grown(load_catalog())) == {*before, mix}


def test_it_begins_when_nothing_else_runs_in_this_process(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone() -> None:
        raise StoreError("something else is loading")

    monkeypatch.setattr(services.runner, "alone", alone)
    before = set(services.catalog.schemes)
    assert "something else is loading" in str(tuned(services)[-1]["tune-progress"])
    assert set(services.catalog.schemes) == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "nonsense"}, "method"),
        ({"bits": 99.0}, "budget-bits: 99; 1 to 16 are allowed"),
        ({"model": "nonsense"}, "model: choose one of the list"),
    ],
)
def test_a_wrong_question_is_one_message(
    given: dict[str, Any], said: str, services: Services
) -> None:
    (told,) = tuned(services, **given)
    assert said in told["tune-progress"]
    assert not services.jobs.busy("tune me")


def test_a_page_that_others_reach_has_no_such_button(services: Services) -> None:
    assert section.may_tune(services)
    assert not section.may_tune(replace(services, public=True))
    assert not section.may_tune(replace(services, catalog=load_catalog()))
    assert not section.may_tune(replace(services, runner=SimpleNamespace()))  # type: ignore[arg-type]
    for each, there in ((services, True), (replace(services, public=True), False)):
        with Page() as page:
            build_try(each, gr.HTML(), gr.HTML())
        buttons = {getattr(block, "elem_id", None) for block in page.blocks.values()}
        assert ("ql-tune" in buttons) is there
