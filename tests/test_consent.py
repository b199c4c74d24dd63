"""A served page fetches what its operator named, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError
from quantlab.ui.compare import run
from quantlab.ui.guard.fetching import Consent
from quantlab.ui.services import Services
from tests.test_page import StandIn, call, values

CATALOG = load_catalog()
MINI, DEV = CATALOG.models["flux-mini"], CATALOG.models["flux1-dev"]


def with_lora(name: str) -> dict[str, object]:
    return {**values("fp32"), "lora": name, "lora_weight": 1.0}


def test_a_repository_that_nobody_named_is_not_fetched() -> None:
    services = Services(CATALOG, StandIn(), None)
    said = run.check(call(services, **with_lora("someone/some-lora")))
    assert "python app.py --lora someone/some-lora" in said["banner"]
    assert "job" not in said
    assert "job" in run.check(call(services, **with_lora("mono")))


@pytest.mark.parametrize("consent", [Consent(("someone/some-lora",)), Consent(everything=True)])
def test_what_the_operator_named_is(consent: Consent) -> None:
    services = replace(Services(CATALOG, StandIn(), None), consent=consent)
    assert "job" in run.check(call(services, **with_lora("someone/some-lora@main:x.safetensors")))


def test_visitors_do_not_start_downloads_of_many_gigabytes() -> None:
    comparison = make_comparison(model="flux1-dev", plans=["bf16"], prompt="a fox")
    with pytest.raises(InputError, match="may not have it downloaded"):
        Consent(public=True, here=lambda _: False).check(comparison, DEV)
    for consent in (
        Consent(public=True, here=lambda _: True),
        Consent(here=lambda _: False),  # the operator's own page
        Consent(public=True, here=lambda _: False, everything=True),
    ):
        consent.check(comparison, DEV)
    mini = make_comparison(plans=["fp32"], prompt="a fox")
    Consent(public=True, here=lambda _: False).check(mini, MINI)
