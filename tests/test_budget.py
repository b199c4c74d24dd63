"""A visitor's job on a public page takes no longer than its operator lets it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

import app
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.placement import Device
from quantlab.catalog.table import load_catalog
from quantlab.catalog.time import Known, pace_from
from quantlab.errors import InputError
from quantlab.ui.compare import run
from quantlab.ui.guard.budget import Budget, Here, learn, of_device
from quantlab.ui.guard.fetching import Consent
from quantlab.ui.programs import api
from quantlab.ui.services import Services
from quantlab.words.comparison import Comparison
from quantlab.words.units import GIB
from tests.drawn import awaited
from tests.test_page import StandIn, call, values

CATALOG = load_catalog()
PACE = pace_from([(48, 0.5), (96, 1.0)], [(64 * 64, 0.1), (128 * 128, 0.4)], 0.2)
"""A CPU on which a step of flux-mini at 64 x 64 takes about half a second."""
CPU = Here(Device(16 * GIB, "cpu"), {"flux-mini": Known(paces=(("flux-mini", PACE),))})


def mini(plans: int, steps: int) -> Comparison:
    return make_comparison(plans=["fp32"] * plans, prompt="a fox", steps=steps, width=64, height=64)


def test_seconds_grow_with_steps_and_plans() -> None:
    one, ten, two = (CPU.seconds(each, CATALOG) for each in (mini(1, 1), mini(1, 10), mini(2, 1)))
    assert one
    assert ten
    assert 0.5 < one < 5 < ten
    assert two == pytest.approx(2 * one)
    card = Here(load_gpus()["rtx-3060-12gb"], {})
    dev = make_comparison(model="flux1-dev", plans=["bnb-nf4"], prompt="a fox")
    assert (card.seconds(dev, CATALOG) or 0) > 20


def test_what_takes_too_long_is_refused_in_one_sentence_before_it_waits() -> None:
    services = replace(Services(CATALOG, StandIn(), None), budget=Budget(20, CPU))
    assert "job" in run.check(call(services, **values("fp32", steps=2)))
    services.jobs.stop("one")
    said = run.check(call(services, **values("fp32", "bnb-nf4", steps=50)))
    assert "predicted to take about" in said["banner"]
    assert "may take 20" in said["banner"]
    assert "job" not in said
    assert not len(services.jobs)


@pytest.mark.parametrize("budget", [Budget(None, CPU), Budget(1e-3, None)])
def test_without_a_limit_or_a_known_pace_nothing_is_refused(budget: Budget) -> None:
    budget.check(mini(6, 50), CATALOG)


def test_a_program_is_held_to_the_same_limits_as_a_visitor() -> None:
    """Consent to fetch, too: whoever calls the API is a visitor."""
    request = SimpleNamespace(session_hash="one", headers={}, client=None)

    def compared(services: Services, plans: list[str], **more: Any) -> Any:
        return api.compare(services=services, request=request, plans=plans, prompt="a", **more)

    services = replace(Services(CATALOG, StandIn(), None), budget=Budget(1.0, CPU))
    with pytest.raises(gr.Error, match="predicted to take"):
        awaited(compared(services, ["fp32"], steps=50))
    plain = Services(CATALOG, StandIn(), None)
    with pytest.raises(gr.Error, match="does not fetch someone/some-lora"):
        awaited(compared(plain, ["fp32"], lora="someone/some-lora"))
    public = replace(plain, consent=Consent(public=True, here=lambda _: False))
    with pytest.raises(gr.Error, match="may not have it downloaded"):
        awaited(compared(public, ["bf16"], model="flux1-dev"))


def test_what_the_machine_is_is_learned_in_the_background() -> None:
    device = SimpleNamespace(is_cpu=True, memory=CPU.device)
    asked: list[str] = []

    def known(model: str, *_: object) -> Known:
        asked.append(model)
        return CPU.known["flux-mini"]

    budget = Budget(1.0)
    learn(budget, lambda: of_device(device, CATALOG, known)).join()
    assert "flux-mini" in asked
    assert "flux1-dev" not in asked
    with pytest.raises(InputError, match="predicted"):
        budget.check(mini(6, 50), CATALOG)


@pytest.mark.parametrize("seconds", [-5.0, float("nan"), float("inf")])
def test_a_limit_that_is_no_number_of_seconds_is_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="max-job-seconds"):
        app.budget_of(seconds, public=False)
    assert app.budget_of(0.0, public=True).most_s is None
