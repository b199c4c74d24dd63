"""Every scheme that runs on a CPU, through its real library, on flux-mini's real weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.reach import why_not
from quantlab.catalog.read.measured import findings_for
from quantlab.catalog.sizes.predict import plan_bytes
from quantlab.catalog.table import load_catalog
from quantlab.errors import VerificationError
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.load.weights import verify
from quantlab.words.outcome import Outcome
from tests.device import DEVICE
from tools import sweep_all, sweep_compiled

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]
PROMPT = "a red apple on a blue background"
REL_L2 = {
    16: (0.0, 0.01), 8: (0.0, 0.06), 7: (0.0, 0.06), 6: (0.0, 0.06), 5: (0.01, 0.12),
    4: (0.002, 0.35), 3: (0.02, 0.6), 2: (0.1, 2.0),
}  # fmt: skip
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


def tried(plan: str, bench: Bench, out: Path) -> Outcome:
    """What ``plan`` makes beside the unquantized model, in two steps."""
    comparison = make_comparison(plans=["fp32", plan], prompt=PROMPT, steps=2)
    return compare(comparison, bench=bench, out=out, warmup=0)[1]


def test_the_schemes_that_must_run_on_a_cpu_are_among_them() -> None:
    wanted = {
        "bnb-nf4", "bnb-nf4-dq", "bnb-fp4", "bnb-int8",
        "torchao-int8wo", "torchao-int8dq", "torchao-fp8wo",
        "quanto-int8", "quanto-int4", "quanto-int2", "quanto-fp8",
        "gguf-q8_0", "gguf-q5_0", "gguf-q4_0", "sdnq-int8", "sdnq-uint4", "layerwise-fp8",
        "gguf-q6_k", "gguf-q5_k", "gguf-q4_k", "gguf-q3_k", "gguf-q2_k",
        "gguf-iq4_nl", "gguf-iq4_xs", "gguf-bf16", "bfl-fp8", "bfl-nvfp4",
        "hqq-int8", "hqq-int4", "hqq-int3", "hqq-int2", "sdnq-int7", "sdnq-int6", "sdnq-int5",
        "sdnq-uint3", "sdnq-uint2", "sdnq-fp8", "sdnq-uint4-svd", "sdnq-uint4-hadamard",
        "sdnq-int8-hadamard", "bnb-fp4-dq", "quanto-fp8-e5m2", "quanto-w8a8", "torchao-int8wo-g64",
        "torchao-int4wo-cpu", "torchao-nf4", "torchao-mxfp8", "torchao-mxfp4", "torchao-nvfp4wo",
    }  # fmt: skip
    # Without a C++ compiler quanto's int4 and int2 are rightly absent.
    absent = set() if this_machine().compiler else {"quanto-int4", "quanto-int2"}
    assert wanted - set(TRANSFORMER) == absent


@pytest.mark.parametrize("scheme", TRANSFORMER)
def test_the_transformer_holds_the_formulas_bytes_stays_near_and_is_no_other(
    scheme: str, bench: Bench, tmp_path: Path
) -> None:
    """tools/sweep_all.py does more with every scheme; here each is loaded once."""
    outcome = tried(scheme, bench, tmp_path)
    assert outcome.status == "ok", outcome.error
    stored = outcome.weights_bytes["transformer"]
    predicted = plan_bytes("flux-mini", {"transformer": scheme})["transformer"]
    assert stored == pytest.approx(predicted, rel=0.005)
    low, high = REL_L2[round(CATALOG.schemes[scheme].bits)]
    assert outcome.transformer_rel_l2 is not None
    assert low < outcome.transformer_rel_l2 < high
    assert outcome.psnr_db is not None
    assert outcome.psnr_db > 10
    assert not outcome.notes
    plan = make_comparison(plans=[scheme], prompt=PROMPT).plans[0]
    loaded = bench.pool.load(MINI, plan, lambda _: None)
    for other in CATALOG.schemes.values():
        if other.id != scheme and other.holds:
            with pytest.raises(VerificationError, match=other.id):
                verify(loaded.pipe.transformer, other, "transformer")


@pytest.mark.parametrize("scheme", T5)
def test_t5_runs_and_holds_the_formulas_bytes(scheme: str, bench: Bench, tmp_path: Path) -> None:
    outcome = tried(f"text_encoder_2={scheme}", bench, tmp_path)
    assert outcome.status == "ok", outcome.error
    predicted = plan_bytes("flux-mini", {"text_encoder_2": scheme})["text_encoder_2"]
    assert outcome.weights_bytes["text_encoder_2"] == pytest.approx(predicted, rel=0.005)
    # The transformer is untouched, so on the reference's input it must answer the same.
    assert outcome.transformer_rel_l2 == 0


def test_bf16_is_half_of_fp32_and_is_another_image(bench: Bench, tmp_path: Path) -> None:
    half = tried("bf16", bench, tmp_path)
    assert half.weights_bytes == pytest.approx(plan_bytes("flux-mini", {}, "bf16"), rel=0.001)
    assert half.transformer_rel_l2 is not None
    assert 0 < half.transformer_rel_l2 < 0.05


@pytest.mark.parametrize(
    ("plan", "way"),
    [
        ("bnb-nf4", "the library, on the loaded component"),
        ("torchao-int8wo", "PipelineQuantizationConfig"),
        ("gguf-q4_0", "from_single_file"),
        ("text_encoder_2=bnb-nf4", "PipelineQuantizationConfig"),
    ],
)
def test_the_way_that_was_taken_is_said_and_the_image_is_drawn(
    plan: str, way: str, bench: Bench, tmp_path: Path
) -> None:
    outcome = tried(plan, bench, tmp_path)
    assert outcome.way == way
    assert outcome.image is not None
    assert Path(outcome.image).is_absolute()
    pixels = np.asarray(Image.open(outcome.image))
    assert pixels.shape == (MINI.defaults.height, MINI.defaults.width, 3)


def test_the_full_set_was_tried_with_every_scheme_and_held() -> None:
    """``python -m tools.sweep_all`` writes what this reads."""
    kept = sweep_all.rows()
    assert {(s.id, c.name) for s, c in sweep_all.cases()} <= set(kept)
    # An extra whose packages the test run does without is tried by the command alone.
    assert ("auto-round-int4", "transformer") in kept
    assert not {key: wrong for key, row in kept.items() if (wrong := sweep_all.sound(row))}
    by_rule = {scheme: row["lora"] for (scheme, part), row in kept.items() if part == "transformer"}
    ruled = {s.id: s.lora.way for s in CATALOG.schemes.values() if s.lora and s.id in by_rule}
    assert ruled == {scheme: way for scheme, way in by_rule.items() if way != "-"}


def test_compiled_plans_were_tried_with_their_scripts_and_held() -> None:
    """``python -m tools.sweep_compiled`` writes what this reads."""
    kept = sweep_compiled.rows()
    assert {"layerwise-fp8@compiled", "bnb-int8@compiled", "fp32@compiled"} <= set(kept)
    failed = {plan for plan, row in kept.items() if sweep_compiled.sound(row)}
    # What the probe, too, measured as no: torch 2.13 has no C++ for their scales' dtype.
    assert failed == {
        f"{scheme.id}@compiled"
        for scheme in CATALOG.schemes.values()
        if (found := findings_for(scheme, None, "cpu").get("compile")) and found.value == "no"
    }
    assert all("compiler fails on it; leave @compiled away" in kept[p]["runner"] for p in failed)
