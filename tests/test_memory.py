"""Memory as people run into it: batches, references, the largest size, the host, one memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.catalog.answer.choices import propose
from quantlab.catalog.answer.fits import fits
from quantlab.catalog.answer.pick import recommend
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.largest import largest_size
from quantlab.catalog.placement import HOST_KEPT, Device, placements_for, refusal
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.sizes.rows import target
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import DoesNotFit, InputError
from quantlab.lab.load.fits import place_on
from quantlab.ui.pick.query import choices_of, read_query
from quantlab.words.plan import Plan

CATALOG = load_catalog()
GPUS = load_gpus()
GIB = 2**30
DEV, KLEIN = CATALOG.models["flux1-dev"], CATALOG.models["flux2-klein-4b"]


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(arguments) == 0
    return json.loads(capsys.readouterr().out)


# What is asked for


@pytest.mark.parametrize("model", [DEV, KLEIN, CATALOG.models["sd3.5-large"]])
def test_running_grows_with_the_batch_and_weights_do_not(model: Any) -> None:
    plan = parse_plan("bnb-nf4", model)
    one, three = predict(model.id, plan), predict(model.id, plan, batch=3)
    assert one.component_bytes == three.component_bytes
    needs = needs_of(plan, model, catalog=CATALOG)
    assert three.peak_bytes - one.peak_bytes == pytest.approx(
        2 * max(part.running for part in needs.parts.values())
    )


def test_references_are_tokens_of_the_denoiser_and_encoded_one_at_a_time() -> None:
    plan = parse_plan("bf16", KLEIN)
    none, one, two = (
        needs_of(
            plan, KLEIN, picture_of(KLEIN, width=512, height=512, references=n), catalog=CATALOG
        )
        for n in range(3)
    )
    steps = [n.parts["transformer"].running for n in (none, one, two)]
    assert steps[2] - steps[1] == pytest.approx(steps[1] - steps[0], abs=2)
    assert steps[1] - steps[0] > steps[0]  # a megapixel beside a quarter of one
    assert none.parts["vae"].running < one.parts["vae"].running == two.parts["vae"].running


def test_guidance_that_runs_both_passes_in_one_batch_takes_twice_the_memory() -> None:
    model = CATALOG.models["sd3.5-large"]
    assert model.family.cfg_batched
    needs = needs_of(parse_plan("bf16", model), model, catalog=CATALOG)
    d = model.defaults
    tokens = d.sequence_length + model.family.image_tokens(d.width, d.height)
    assert needs.parts["transformer"].running > 1.9 * 18 * 2 * tokens * 2000


@pytest.mark.parametrize(
    ("model", "more", "said"),
    [
        ("flux1-dev", ["--references", "1"], "references: FLUX.1-dev takes no pictures"),
        ("flux2-klein-4b", ["--references", "99"], "references: 99 is out of range"),
        ("flux1-dev", ["--batch", "0"], "batch: 0 is out of range"),
        ("flux1-dev", ["--ram-gib", "16"], "ram-gib: goes with --gpu"),
        ("flux1-dev", ["--gpu", "4090", "--ram-gib", "nan"], "ram-gib: nan"),
        ("flux1-dev", ["--gpu", "4090,3090"], "rtx-4090-24gb, rtx-3090-24gb: a plan is run"),
        ("flux1-dev", ["--gpu", "4090,"], "gpu: '4090,'"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], model: str, more: list[str], said: str
) -> None:
    assert main(["predict", "--model", model, "--plans", "bf16", *more]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


# One card


def test_predict_for_a_card_adds_where_and_the_largest_size(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["predict", "--json", "--model", "flux1-dev", "--plans", "bf16", "gguf-q4_k"]
    without = document(capsys, *asked)
    rows = document(capsys, *asked, "--gpu", "rtx 3060 12gb")
    for row, plain in zip(rows, without, strict=True):
        assert set(row) - set(plain) == {"placement", "image_s", "image_s_why", "largest_size"}
        assert set(row["largest_size"]) == {"width", "height"}
        assert row["image_s_why"], "seconds or none, what they rest on is said"
    assert [row["placement"] for row in rows] == ["group-offload", "staged"]
    (small,) = document(capsys, *asked[:-2], "bnb-nf4", "--gpu", "apple-8gb")
    assert small["placement"] is None
    assert small["largest_size"] is None


def test_as_many_plans_are_predicted_as_a_contract_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["predict", "--json", "--model", "flux1-dev", "--plans"]
    assert len(document(capsys, *asked, *["bf16"] * 64)) == 64
    assert main([*asked, *["bf16"] * 65]) == 2
    assert "plans: 65 given; 1 to 64" in capsys.readouterr().err


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(
        ["flux1-dev", "flux2-klein-4b", "z-image-turbo", "qwen-image-2512", "flux-mini"]
    ),
    st.sampled_from(["bf16", "bnb-nf4", "torchao-int8wo"]),
    st.floats(0.75, 90),
    st.sampled_from(["cuda", "metal"]),
    st.integers(1, 4),
)
def test_the_largest_size_fits_and_the_next_does_not(
    model_id: str, text: str, gib: float, kind: str, batch: int
) -> None:
    model = CATALOG.models[model_id]
    plan, gpu = parse_plan(text, model), Device(round(gib * GIB), kind)
    asked = picture_of(model, batch=batch)
    found = largest_size(plan, model, gpu, asked, CATALOG)

    def fits(side: int) -> bool:
        needs = needs_of(plan, model, asked.sized(side, side), catalog=CATALOG)
        return bool(placements_for(needs, plan, gpu, CATALOG))

    step, limits = model.limits.size_multiple, model.limits
    if found is None:
        assert not fits(limits.min_size)
        return
    assert found.width == found.height  # as the defaults of these models are
    assert fits(found.width)
    assert found.width + step > limits.max_size or not fits(found.width + step)


def test_what_cannot_fit_is_refused_with_the_size_that_would() -> None:
    at = {"width": 2048, "height": 2048}
    comparison = make_comparison(model="flux1-dev", plans=["gguf-q4_k"], prompt="a fox", **at)
    with pytest.raises(DoesNotFit, match=r"the largest size of it that fits is \d+ x \d+ px"):
        place_on(Device(round(9.7 * GIB), "metal"), comparison, comparison.plans[0], CATALOG)


# Predict and pick


@pytest.mark.parametrize(
    ("model_id", "library"),
    [("flux1-dev", None), ("flux1-dev", "transformers")],
)
def test_predict_and_pick_agree_for_every_card_and_scheme(
    model_id: str, library: str | None
) -> None:
    model = CATALOG.models[model_id]
    component = target(model, library)
    assert component is not None
    fits = {
        scheme.id: predict(model_id, Plan(((component.name, scheme.id),))).fits
        for scheme in CATALOG.schemes.values()
        if scheme.storage is not None
    }
    for gpu in GPUS:
        rows = recommend(gpu=gpu, model=model_id, library=library)
        told = {row.scheme: row.verdict for row in rows if row.scheme in fits}
        assert told == {scheme: fits[scheme][gpu] for scheme in told}
        assert set(told) == set(fits)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(CATALOG.models)), st.sampled_from(sorted(GPUS)), st.data())
def test_predict_and_pick_agree_for_every_model(model_id: str, gpu: str, data: Any) -> None:
    model = CATALOG.models[model_id]
    told = {row.scheme: row.verdict for row in recommend(gpu=gpu, model=model_id) if row.scheme}
    sized = [s.id for s in CATALOG.schemes.values() if s.storage is not None and s.id in told]
    assert sized
    for scheme in sized:
        plan = Plan(((model.denoiser, scheme),))
        needs = needs_of(plan, model, catalog=CATALOG)
        assert fits(needs, plan, model, GPUS[gpu], CATALOG) == told[scheme], scheme
    one = data.draw(st.sampled_from(sized))
    assert predict(model_id, Plan(((model.denoiser, one),))).fits[gpu] == told[one]


def test_a_scheme_that_its_hardware_does_not_run_fits_no_card_of_it() -> None:
    plan = parse_plan("torchao-fp8dq", DEV)
    fits = predict("flux1-dev", plan).fits
    assert fits["apple-128gb"] == "no"
    assert fits["rtx-3090-24gb"] == "no"
    assert fits["h100-80gb"] == "runs"
    on_mac = predict("flux1-dev", plan, gpu=GPUS["apple-128gb"]).on_card
    assert on_mac is not None
    assert on_mac.placement is None
    assert on_mac.largest_size is None
    assert on_mac.why == "torchao-fp8dq: does not run there, as pick says with its reason."


def test_the_worst_part_of_a_plan_decides() -> None:
    mixed = "transformer=torchao-int8wo,text_encoder_2=torchao-fp8dq"
    assert predict("flux1-dev", parse_plan(mixed, DEV)).fits["rtx-3090-24gb"] == "no"


# The host


def test_what_the_host_cannot_hold_is_not_proposed_and_says_why() -> None:
    plan = parse_plan("bf16", DEV)
    needs = needs_of(plan, DEV, catalog=CATALOG)
    card = GPUS["rtx-3060-12gb"]
    assert [p.kind for p in placements_for(needs, plan, card, CATALOG)] == ["group-offload"]
    assert not placements_for(needs, plan, card, CATALOG, 16 * GIB)
    told = refusal(needs, plan, card, CATALOG, 16 * GIB)
    assert "31.4 GiB of host memory at least, of 16.0 GiB, 2.0 GiB of it kept" in told
    rows = recommend(gpu=card.id, model="flux1-dev", ram_gib=16.0)
    placed = [row.placement for row in rows if row.placement]
    assert placed
    assert all(p.host_bytes <= 16 * GIB - HOST_KEPT for p in placed)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(GPUS)), st.floats(4, 128), st.floats(0, 64))
def test_no_proposal_needs_more_host_memory_than_there_is(
    gpu: str, ram_gib: float, more: float
) -> None:
    small = propose(model="flux1-dev", gpu=gpu, ram_gib=ram_gib).choices
    assert all(c.host_bytes == 0 or c.host_bytes <= ram_gib * GIB - HOST_KEPT for c in small)
    assert not small or propose(model="flux1-dev", gpu=gpu, ram_gib=ram_gib + more).choices


def test_weights_that_keep_their_files_dtype_pass_the_host_without_being_held() -> None:
    def passing(text: str) -> int:
        return needs_of(parse_plan(text, DEV), DEV, catalog=CATALOG).parts["transformer"].passing

    whole = needs_of(parse_plan("bf16", DEV), DEV, catalog=CATALOG).weights["transformer"]
    assert passing("bf16") < passing("bnb-nf4") < whole / 20
    assert passing("fp32") == 2 * whole
    gguf = needs_of(parse_plan("gguf-q4_k", DEV), DEV, catalog=CATALOG)
    assert gguf.parts["transformer"].passing == gguf.weights["transformer"]


# What is typed


@pytest.mark.parametrize(
    ("hardware", "typed", "card"),
    [
        ("cuda", "24", "rtx-4090-24gb"),
        ("rocm", "16", "rx-6800-16gb"),
        ("metal", "36", "apple-36gb"),
    ],
)
def test_a_typed_size_and_the_card_of_that_size_give_the_same_answer(
    hardware: str, typed: str, card: str
) -> None:
    blank = {"bits": "4", "model": "flux1-dev", "library": "", "needs": []}
    by_size = read_query({**blank, "hardware": hardware, "memory": typed})
    by_card = read_query({**blank, "hardware": card, "memory": ""})
    assert by_size.memory_gib == pytest.approx(GPUS[card].bytes / GIB)
    named, listed = (choices_of(query) for query in (by_size, by_card))
    assert named
    assert {choice.device_bytes for choice in (*named, *listed)} == {GPUS[card].bytes}
    assert min(c.loss.value for c in named) == min(c.loss.value for c in listed)


@pytest.mark.parametrize("typed", ["nan", "inf", "-3", "0", "1e9"])
def test_a_size_that_no_device_has_is_told(typed: str) -> None:
    blank = {"bits": "", "model": "flux1-dev", "library": "", "needs": []}
    with pytest.raises(InputError, match="memory: "):
        read_query({**blank, "hardware": "cuda", "memory": typed})


# One memory


@pytest.mark.parametrize("gpu", [gpu.id for gpu in GPUS.values() if gpu.unified])
def test_one_memory_is_counted_once(gpu: str) -> None:
    for model in ("flux1-dev", "flux2-klein-4b", "flux-mini"):
        for row in recommend(gpu=gpu, model=model, ram_gib=1.0):
            if row.placement is not None:
                assert row.placement.host_bytes == 0
                assert row.placement.kind in ("resident", "staged")
                assert not any("host memory" in reason for reason in row.reasons)


def test_a_question_about_the_host_needs_a_model() -> None:
    with pytest.raises(InputError, match="ram-gib: needs a model"):
        recommend(hardware="cuda", ram_gib=16.0)
    with pytest.raises(InputError, match="ram-gib"):
        recommend(model="flux1-dev", gpu="4090", ram_gib=-1.0)
