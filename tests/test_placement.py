"""Where a plan is kept: rules a library, numbers of the prediction, and what is published."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prediction import rows
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.gpus import Gpu, load_gpus
from quantlab.catalog.placement import (
    FRAGMENTATION,
    KINDS,
    Device,
    Placement,
    group_offload_options,
    placements_for,
    refusal,
    verdict_of,
)
from quantlab.catalog.read.facts import read_offload
from quantlab.catalog.read.toml import read_toml
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.activations import CONTEXT_BYTES
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import Picture
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.errors import CatalogError
from quantlab.words.plan import Plan

CATALOG = load_catalog()
DEV = CATALOG.models["flux1-dev"]
GPUS = load_gpus()
GIB = 2**30
TRANSFORMER = ("bf16", "bnb-nf4", "torchao-int8wo", "quanto-int8", "gguf-q4_k", "layerwise-fp8")


def placements(plan: Plan, model: Model, gpu: Gpu | Device) -> tuple[Placement, ...]:
    return placements_for(needs_of(plan, model, catalog=CATALOG), plan, gpu, CATALOG)


def choose(text: str, gib: float, kind: str = "cuda") -> Placement | None:
    found = placements(parse_plan(text, DEV), DEV, Device(round(gib * GIB), kind))
    return found[0] if found else None


def kinds(text: str, gib: float) -> tuple[str, ...]:
    found = placements(parse_plan(text, DEV), DEV, Device(round(gib * GIB)))
    return tuple(placement.kind for placement in found)


# Rules a library


def test_group_offload_follows_the_library() -> None:
    assert kinds("bf16", 8) == ("group-offload",)
    assert kinds("gguf-q8_0", 8) == ("group-offload",)
    assert kinds("torchao-int8wo", 8) == ("group-offload",)
    assert kinds("layerwise-fp8", 8) == ("group-offload",)
    assert kinds("quanto-int8", 8) == ()
    assert kinds("sdnq-int8", 8) == ("group-offload",)
    assert kinds("bnb-nf4", 8) == ()
    assert kinds("transformer=torchao-int8wo,text_encoder_2=quanto-int8", 8) == ()


def test_a_library_of_which_nothing_is_known_is_not_group_offloaded() -> None:
    sdnq, nothing = CATALOG.methods["sdnq"], CATALOG.methods["sinq"].offload
    assert nothing.group == "unknown"
    catalog = replace(CATALOG, methods=CATALOG.methods | {"sdnq": replace(sdnq, offload=nothing)})
    plan = parse_plan("sdnq-int8", DEV)
    needs = needs_of(plan, DEV, catalog=catalog)
    found = placements_for(needs, plan, Device(8 * GIB), catalog)
    assert "group-offload" not in [placement.kind for placement in found]


def test_torchao_is_group_offloaded_without_streams_and_the_rest_with_them() -> None:
    def options(text: str) -> dict[str, object]:
        return group_offload_options(parse_plan(text, DEV), CATALOG)

    assert options("torchao-int8wo") == {"offload_type": "leaf_level"}
    assert options("transformer=gguf-q4_k,text_encoder_2=torchao-int8wo") == options(
        "torchao-int8wo"
    )
    streamed = {"offload_type": "leaf_level", "use_stream": True, "low_cpu_mem_usage": True}
    assert options("gguf-q4_k") == options("bf16") == streamed


def test_diffusers_takes_those_options() -> None:
    import inspect

    from diffusers import FluxPipeline

    known = inspect.signature(FluxPipeline.enable_group_offload).parameters
    for text in TRANSFORMER:
        assert set(group_offload_options(parse_plan(text, DEV), CATALOG)) <= set(known)


def test_bitsandbytes_loads_on_the_device_with_model_offload_too() -> None:
    plan = parse_plan("transformer=bnb-nf4,text_encoder_2=bnb-nf4", DEV)
    staged, both = placements(plan, DEV, Device(12 * GIB))
    assert staged.kind == "staged"
    assert staged.peak_bytes < both.peak_bytes
    weights = predict(DEV.id, parse_plan("transformer=bnb-nf4,text_encoder_2=bnb-nf4", DEV))
    loaded = weights.component_bytes["transformer"] + weights.component_bytes["text_encoder_2"]
    assert both.kind == "model-offload"
    assert both.peak_bytes > loaded > weights.offload_peak_bytes
    assert any("at loading" in reason for reason in both.reasons)
    assert kinds("transformer=bnb-nf4,text_encoder_2=bnb-nf4", 10) == ("staged",)


def test_a_scheme_wants_its_compute_capability() -> None:
    plan = parse_plan("torchao-fp8dq", DEV)
    old, new = Device(80 * GIB, "cuda", "8.6"), Device(80 * GIB, "cuda", "8.9")
    assert placements(plan, DEV, old) == ()
    assert placements(plan, DEV, new)[0].kind == "resident"
    assert (
        choose("torchao-fp8dq", 80) is not None
    )  # a capability that is not known rules nothing out


def test_there_is_nothing_to_offload_to_in_one_memory() -> None:
    for kind in ("metal", "cpu"):
        found = choose("bnb-nf4", 32, kind)
        assert found is not None
        assert found.kind == "resident"
    assert choose("bnb-nf4", 12, "cpu") is None
    assert choose("bnb-nf4", 8, "metal") is None


def test_in_one_memory_the_parts_take_turns_where_they_do_not_fit_together() -> None:
    plan = parse_plan("transformer=gguf-q4_k,text_encoder_2=quanto-int8", DEV)
    needs = needs_of(plan, DEV, catalog=CATALOG)
    for device in (GPUS["apple-16gb"], Device(12 * GIB, unified=True)):
        assert needs.resident_bytes > device.bytes
        [only] = placements_for(needs, plan, device, CATALOG, ram_bytes=GIB)
        assert (only.kind, only.host_bytes) == ("staged", 0)
        assert only.peak_bytes == needs.staged_bytes
    assert "staged" in refusal(needs, plan, Device(GIB, "metal"), CATALOG)
    assert "no second memory" in refusal(needs, plan, Device(GIB, "metal"), CATALOG)


# Numbers


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TRANSFORMER), st.floats(1, 100), st.floats(0, 60))
def test_more_memory_never_worsens(text: str, gib: float, more: float) -> None:
    small, large = choose(text, gib), choose(text, gib + more)
    if small is not None:
        assert large is not None
        assert KINDS.index(large.kind) <= KINDS.index(small.kind)


@pytest.mark.parametrize("text", TRANSFORMER)
def test_the_numbers_are_those_of_predict(text: str) -> None:
    plan = parse_plan(text, DEV)
    prediction = predict(DEV.id, plan)
    found = {p.kind: p for p in placements(plan, DEV, Device(200 * GIB))}
    assert found["resident"].peak_bytes == prediction.peak_bytes
    assert found["resident"].host_bytes == prediction.host_bytes
    assert found["model-offload"].peak_bytes == prediction.offload_peak_bytes
    assert found["model-offload"].host_bytes == prediction.offload_host_bytes


def test_a_plan_fits_up_to_the_margin_that_is_stated() -> None:
    needed = predict(DEV.id, parse_plan("gguf-q4_k", DEV)).peak_bytes * (1 + FRAGMENTATION)
    exact = (needed + CONTEXT_BYTES) / GIB
    assert kinds("gguf-q4_k", exact + 0.001)[0] == "resident"
    assert kinds("gguf-q4_k", exact - 0.001)[0] == "staged"


@pytest.mark.parametrize("model", CATALOG.models.values(), ids=lambda model: model.id)
def test_every_gpu_has_an_answer_for_every_model(model: Model) -> None:
    plan = parse_plan(model.base_dtype, model)
    fits = predict(model.id, plan).fits
    for gpu in GPUS.values():
        found = placements(plan, model, gpu)
        assert fits[gpu.id] == verdict_of(found[0].kind if found else None)
        assert all(placement.reasons for placement in found)


def test_zerogpus_half_card_takes_42_gib_of_weights_and_the_full_card_more() -> None:
    half, full = GPUS["zerogpu-half"], GPUS["zerogpu-full"]
    limit = Device(half.bytes, "cuda", "12.0", max_weights_bytes=20 * GIB)
    plan = parse_plan("bf16", DEV)
    assert placements(plan, DEV, half)[0].kind == "resident"
    assert placements(plan, DEV, full)[0].kind == "resident"
    assert placements(plan, DEV, limit) == ()
    needs = needs_of(plan, DEV, catalog=CATALOG)
    assert "31.4 GiB, and up to 20.0 GiB" in refusal(needs, plan, limit, CATALOG)


def test_what_does_not_fit_is_told_with_every_number() -> None:
    plan = parse_plan("bnb-nf4", DEV)
    needs = needs_of(plan, DEV, catalog=CATALOG)
    told = refusal(needs, plan, Device(8 * GIB), CATALOG)
    for part in ("18.0 of 8.0 GiB", "9.0 GiB with model offload", "bitsandbytes", "0.5 GiB", "2%"):
        assert part in told
    assert "no second memory" in refusal(needs, plan, Device(8 * GIB, "metal"), CATALOG)


# What is published


@pytest.mark.parametrize(
    ("text", "gpu", "kind"),
    [
        # huggingface/blog lora-fast.md: RTX 4090, model offload, about 22 GB
        ("bf16", "rtx-4090-24gb", "model-offload"),
        # diffusers docs, speed-memory-optims.md: RTX 4090, resident
        ("transformer=bnb-nf4,text_encoder_2=bnb-nf4", "rtx-4090-24gb", "resident"),
        # huggingface/blog diffusers-quantization.md and diffusers-torchao: H100, resident
        ("bf16", "h100-80gb", "resident"),
        # diffusers#14691: 8 GB, Q8_0 too large for model offload, group offload works
        ("gguf-q8_0", "rtx-4060-8gb", "group-offload"),
    ],
)
def test_what_is_reported_to_run_is_said_to_run(text: str, gpu: str, kind: str) -> None:
    assert placements(parse_plan(text, DEV), DEV, GPUS[gpu])[0].kind == kind


def test_no_published_peak_is_above_a_device_that_is_said_to_do() -> None:
    """The smallest device for model offload holds the published peaks, reserved at that."""
    for row in (row for row in rows() if row.offload_peak_gib):
        peak = row.prediction.offload_peak_bytes
        smallest = peak * (1 + FRAGMENTATION) + CONTEXT_BYTES
        assert smallest / GIB >= row.offload_peak_gib * 0.99


def test_the_published_group_offload_of_a_gguf_file() -> None:
    """diffusers#14691: FLUX.1-schnell Q4_K_S, 512 x 512, 0.77 GiB with the decoder resident."""
    model = CATALOG.models["flux1-schnell"]
    plan = parse_plan("gguf-q4_k", model)
    needs = needs_of(plan, model, Picture(512, 512, 256), catalog=CATALOG)
    (found,) = placements_for(needs, plan, Device(3 * GIB), CATALOG)
    assert found.kind == "group-offload"
    assert found.peak_bytes / GIB == pytest.approx(0.77, rel=0.1)


# The file of rules


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('group = "maybe"', "group"),
        ('source = "a friend"', "https"),
        ("colour = 1", "colour"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(tmp_path: Path, line: str, message: str) -> None:
    good = {
        "group": '"yes"',
        "streams": "true",
        "note": '"seen"',
        "source": '"https://example.org"',
        "checked": '"2026-11"',
    }
    key, _, value = line.partition(" = ")
    (tmp_path / "data").mkdir()
    text = "\n".join(f"{k} = {v}" for k, v in (good | {key: value}).items())
    (tmp_path / "data" / "offload.toml").write_text(text)
    with pytest.raises(CatalogError, match=rf"data/offload\.toml: .*{message}"):
        read_offload(read_toml(tmp_path / "data" / "offload.toml", tmp_path))


def test_placing_needs_no_torch() -> None:
    code = (
        "import sys; from quantlab.catalog.answer.choices import propose;"
        "propose(model='flux1-dev', gpu='rtx-3060-12gb');"
        "sys.exit(bool({'torch', 'gradio', 'pandas'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
