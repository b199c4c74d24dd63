"""How far a plan moves the picture: what was measured, and the rule that puts parts together."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import pytest

from quantlab.catalog.answer.loss import (
    band_of,
    in_words,
    loss_of,
    measured_losses,
    published_losses,
    scheme_loss,
)
from quantlab.catalog.bands import load_bands
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.reach import why_not
from quantlab.catalog.table import load_catalog
from quantlab.words.choice import Loss

CATALOG = load_catalog()
FLUX, MINI = CATALOG.models["flux1-dev"], CATALOG.models["flux-mini"]


def loss(text: str, model: str = "flux1-dev") -> Loss:
    found = loss_of(parse_plan(text, CATALOG.models[model]), CATALOG.models[model])
    assert found is not None
    return found


def rows() -> list[dict[str, str]]:
    with (PROJECT / "data" / "results" / "loss-flux-mini.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_every_row_is_of_a_scheme_that_the_catalogue_has() -> None:
    known = {"", "bf16", *CATALOG.schemes}
    assert {s for pair in measured_losses() for s in pair} <= known
    assert len(measured_losses()) == len(rows())


def test_every_scheme_that_runs_on_a_cpu_was_measured_so_that_it_can_be_proposed() -> None:
    """What is only emulated is never proposed, and needs no figure."""
    machine, denoiser = replace(this_machine(), hardware=("cpu",)), MINI.components[0]
    missing = [
        scheme.id
        for scheme in CATALOG.schemes.values()
        if scheme.storage and not scheme.emulated and not scheme.layers
        if why_not(scheme, denoiser.library, denoiser.cls) is None
        if here(scheme, CATALOG.methods[scheme.method], machine, MINI) == "ok"
        if scheme_loss(scheme.id) is None
    ]
    assert missing == []


def test_parts_measured_together_are_the_root_of_their_squares() -> None:
    pairs = {pair: value for pair, value in measured_losses().items() if all(pair)}
    assert len(pairs) >= 8
    off = []
    for (denoiser, encoder), together in pairs.items():
        parts = (scheme_loss(denoiser), scheme_loss(encoder, encoder=True))
        assert None not in parts
        off.append(math.hypot(*(p or 0.0 for p in parts)) / together)
    assert all(0.6 < one < 1.6 for one in off), off
    assert 0.85 < sorted(off)[len(off) // 2] < 1.2


def test_the_figure_orders_pictures() -> None:
    known = [(float(r["loss"]), float(r["psnr_db"])) for r in rows() if r["psnr_db"]]
    known.sort()
    pairs = [(a, b) for i, a in enumerate(known) for b in known[i + 1 :] if b[0] > 1.5 * a[0]]
    right = sum(a[1] > b[1] for a, b in pairs)
    assert right / len(pairs) > 0.97


@pytest.mark.parametrize(
    ("nearer", "farther"),
    [
        ("torchao-int8wo", "layerwise-fp8"),
        ("layerwise-fp8", "bnb-nf4"),
        ("gguf-q5_1", "gguf-q4_0"),
        ("gguf-q4_1", "gguf-q4_0"),
        ("bnb-nf4", "quanto-int2"),
    ],
)
def test_fewer_bits_are_not_loss_but_the_order_is_known(nearer: str, farther: str) -> None:
    assert loss(nearer).value < loss(farther).value
    assert band_of(loss(nearer)).level >= band_of(loss(farther)).level


def test_a_text_encoder_counts() -> None:
    alone, both = loss("bnb-nf4"), loss("transformer=bnb-nf4,text_encoder_2=bnb-nf4")
    encoder = loss("text_encoder_2=bnb-nf4")
    assert alone.value < both.value
    assert both.value == pytest.approx(math.hypot(alone.value, encoder.value))
    assert encoder.value > loss("torchao-int8wo").value


def test_what_is_measured_and_what_is_predicted_is_told_apart() -> None:
    assert loss("bnb-nf4", "flux-mini").evidence == "measured"
    assert loss("bnb-nf4").evidence == "predicted"
    assert loss("bnb-nf4").of == loss("bnb-nf4", "flux-mini").of == "flux-mini"
    assert "predicted from flux-mini" in in_words(loss("bnb-nf4"))
    assert list(loss("bnb-nf4").as_dict()) == ["value", "metric", "of", "evidence"]


def test_what_nobody_measured_has_no_figure() -> None:
    assert loss_of(parse_plan("torchao-int4wo", FLUX), FLUX) is None
    assert loss_of(parse_plan("transformer=bnb-nf4,text_encoder_2=torchao-int4wo", FLUX), FLUX) is (
        None
    )


def test_compiling_changes_nothing_and_neither_does_a_model_as_it_is() -> None:
    assert loss("bnb-nf4@compiled") == loss("bnb-nf4")
    assert loss("bf16").value == 0
    assert loss("bf16", "flux-mini").value > 0
    assert band_of(loss("bf16")).word == load_bands().bands[0].word


def test_published_figures_have_a_source_and_stand_apart() -> None:
    found = published_losses()
    assert {row.metric for row in found} == {"psnr_db", "ssim", "lpips"}
    for row in found:
        assert row.model in CATALOG.models
        assert row.url.startswith("https://")
        assert row.plan.partition("@")[0] in {"", *CATALOG.schemes}
        assert row.source in str(row)
    assert any(row.model == "flux3-klein" and row.metric == "psnr_db" for row in found)
