"""Every scheme that runs on a CPU, through its real library, on flux-mini's real weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Scheme
from quantlab.catalog.sizes.predict import plan_bytes
from quantlab.catalog.table import load_catalog
from quantlab.errors import VerificationError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.load.weights import verify
from quantlab.words.outcome import Outcome
from tests.device import DEVICE

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]
PROMPT = "a red apple on a blue background"
REL_L2 = {8: (0.0, 0.06), 6: (0.0, 0.06), 5: (0.01, 0.12), 4: (0.002, 0.35), 2: (0.1, 2.0)}
"""Bounds of the one-step error by nominal bits: too small is as wrong as too large."""


def live(library: str, cls: str) -> list[str]:
    """Schemes that this machine can run on a component of ``cls``."""
    return [
        scheme.id
        for scheme in CATALOG.schemes.values()
        if scheme.on_cpu != "no"
        and why_not(scheme, library, cls) is None
        and here(scheme, CATALOG.methods[scheme.method], this_machine(), MINI) == "ok"
    ]


TRANSFORMER = live("diffusers", "FluxTransformer2DModel")
T5 = live("transformers", "T5EncoderModel")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(CATALOG, DEVICE)


@pytest.fixture(scope="module")
def outcomes(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """One outcome per plan: every scheme on the transformer, every scheme on T5."""
    found = {}
    plans = [*TRANSFORMER, *(f"text_encoder_2={scheme}" for scheme in T5), "bf16"]
    for start in range(0, len(plans), 5):
        texts = ["fp32", *plans[start : start + 5]]
        comparison = make_comparison(plans=texts, prompt=PROMPT, steps=4)
        out = tmp_path_factory.mktemp("images")
        for outcome in compare(comparison, bench=bench, out=out, warmup=0):
            found[outcome.plan] = outcome
    return found


def test_the_schemes_that_must_run_on_a_cpu_are_among_them() -> None:
    wanted = {
        "bnb-nf4", "bnb-nf4-dq", "bnb-fp4", "bnb-int8",
        "torchao-int8wo", "torchao-int8dq", "torchao-fp8wo",
        "quanto-int8", "quanto-int4", "quanto-int2", "quanto-fp8",
        "gguf-q8_0", "gguf-q5_0", "gguf-q4_0", "sdnq-int8", "sdnq-uint4", "layerwise-fp8",
    }  # fmt: skip
    # Without a C++ compiler quanto's int4 and int2 are rightly absent.
    absent = set() if this_machine().compiler else {"quanto-int4", "quanto-int2"}
    assert wanted - set(TRANSFORMER) == absent


@pytest.mark.parametrize("scheme", TRANSFORMER)
def test_the_transformer_runs_holds_the_formulas_bytes_and_stays_near(
    scheme: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[scheme]
    assert outcome.status == "ok", outcome.error
    stored = outcome.weights_bytes["transformer"]
    predicted = plan_bytes("flux-mini", {"transformer": scheme})["transformer"]
    assert stored == pytest.approx(predicted, rel=0.005)
    low, high = REL_L2[round(CATALOG.schemes[scheme].bits)]
    assert outcome.transformer_rel_l2 is not None
    assert low < outcome.transformer_rel_l2 < high
    assert outcome.psnr_db is not None
    assert outcome.psnr_db > 10


@pytest.mark.parametrize("scheme", T5)
def test_t5_runs_and_holds_the_formulas_bytes(scheme: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[f"text_encoder_2={scheme}"]
    assert outcome.status == "ok", outcome.error
    predicted = plan_bytes("flux-mini", {"text_encoder_2": scheme})["text_encoder_2"]
    assert outcome.weights_bytes["text_encoder_2"] == pytest.approx(predicted, rel=0.005)
    # The transformer is untouched, so on the reference's input it must answer the same.
    assert outcome.transformer_rel_l2 == 0


def test_bf16_is_half_of_fp32_and_is_another_image(outcomes: dict[str, Outcome]) -> None:
    full, half = outcomes["fp32"], outcomes["bf16"]
    assert sum(half.weights_bytes.values()) == pytest.approx(
        sum(full.weights_bytes.values()) / 2, rel=0.001
    )
    assert half.transformer_rel_l2 is not None
    assert 0 < half.transformer_rel_l2 < 0.05


def test_the_way_that_was_taken_is_said(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["bnb-nf4"].way == "the library, on the loaded component"
    assert outcomes["torchao-int8wo"].way == "PipelineQuantizationConfig"
    assert outcomes["gguf-q4_0"].way == "from_single_file"
    assert outcomes["text_encoder_2=bnb-nf4"].way == "PipelineQuantizationConfig"


def test_the_images_are_saved_and_drawn(outcomes: dict[str, Outcome]) -> None:
    for outcome in outcomes.values():
        assert outcome.image is not None
        assert Path(outcome.image).is_absolute()
        pixels = np.asarray(Image.open(outcome.image))
        assert pixels.shape == (MINI.defaults.height, MINI.defaults.width, 3)
        assert not outcome.notes


@pytest.mark.parametrize("scheme", TRANSFORMER)
def test_verification_tells_every_scheme_from_every_other(scheme: str, bench: Bench) -> None:
    """A component labelled as another scheme is caught, whatever the two are."""
    comparison = make_comparison(plans=[scheme], prompt=PROMPT)
    loaded = bench.pool.load(MINI, comparison.plans[0], lambda _: None)
    verify(loaded.pipe.transformer, CATALOG.schemes[scheme], "transformer")
    for other in _others(CATALOG.schemes[scheme]):
        with pytest.raises(VerificationError, match=other.id):
            verify(loaded.pipe.transformer, other, "transformer")


def _others(scheme: Scheme) -> list[Scheme]:
    return [CATALOG.schemes[other] for other in TRANSFORMER if other != scheme.id]
