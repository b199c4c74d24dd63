"""Predicted times: the work is counted right, physics holds, reasons and evidence are said."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.time import (
    Basis,
    Measured,
    MeasuredRun,
    Mode,
    Placement,
    Reason,
    Run,
    Seconds,
    Streams,
    card_of,
    denoiser,
    load_constants,
    predict,
)
from quantlab.catalog.time.form import attention_flops, chip_of, floor_seconds, linear_flops, parts
from quantlab.catalog.time.predict import Clock
from quantlab.errors import InputError
from tests.flux_work import FLUX, T5, card, flux1, found, told, work


def test_flops_of_flux_are_what_others_counted() -> None:
    assert (FLUX.width, FLUX.heads, FLUX.head_dim, FLUX.blocks) == (3072, 24, 128, 57)
    # 59,523 GFLOP: huggingface.co/datasets/diffusers/benchmarks, one sample of 4096 + 512 tokens
    assert linear_flops(work(), FLUX) == pytest.approx(59_523e9, rel=1e-3)
    assert attention_flops(work(), FLUX) == pytest.approx(14.87e12, rel=1e-3)


def test_streams_follow_the_tokens_that_pass() -> None:
    doubled = work(text_tokens=1024)
    extra = linear_flops(doubled, FLUX) - linear_flops(work(), FLUX)
    assert extra == 2 * 512 * (FLUX.streams.text + FLUX.streams.both)


def test_references_take_their_own_stream_where_there_is_one() -> None:
    split = replace(FLUX, streams=replace(FLUX.streams, reference=10**9))
    asked = work(reference_tokens=4096)
    assert linear_flops(asked, FLUX) - linear_flops(work(), FLUX) == 2 * 4096 * (
        FLUX.streams.image + FLUX.streams.both
    )
    assert linear_flops(asked, split) - linear_flops(work(), split) == 2 * 4096 * (
        10**9 + FLUX.streams.both
    )


def test_other_families_are_counted_by_their_names() -> None:
    fused = [
        ("double_stream_modulation_img.linear", "linear", (600, 100)),
        ("context_embedder", "linear", (100, 300)),
        ("transformer_blocks.0.attn.to_q", "linear", (128, 100)),
        ("transformer_blocks.0.attn.add_q_proj", "linear", (128, 100)),
        ("single_transformer_blocks.0.attn.to_qkv_mlp_proj", "linear", (900, 100)),
    ]
    counted = found(fused)
    assert counted.streams == Streams(
        both=90_000, image=12_800, text=42_800, reference=0, vector=60_000
    )
    assert counted.blocks == 2
    crossing = [
        ("blocks.0.attn1.to_q", "linear", (256, 256)),
        ("blocks.0.attn2.to_q", "linear", (256, 256)),
        ("blocks.0.attn2.to_k", "linear", (256, 512)),
        ("blocks.0.attn1.norm_q", "norm", (256,)),
    ]
    counted = found(crossing)
    assert (counted.blocks, counted.heads, counted.head_dim) == (1, 2, 128)
    assert counted.streams.text == 256 * 512


def test_a_unet_is_no_transformer() -> None:
    modules = [*flux1(), ("down_blocks.0.resnets.0.conv1", "conv", (320, 320, 3, 3))]
    assert denoiser(modules) is None
    assert denoiser([("mid", "linear", (4, 4))]) is None
    none = replace(work(), denoiser=None)
    assert predict(none, card("rtx-4090-24gb"), Run()) is Reason.NOT_A_TRANSFORMER


def test_an_h100_takes_what_seven_sources_say() -> None:
    answer = told(predict(work(), card("h100-80gb"), Run()))
    assert answer.evidence == "predicted"
    assert answer.low < 6.57 < 7.11 < answer.high
    assert Basis.MATMUL_MEASURED in answer.basis
    assert "predicted" in answer.text()


SIDES = st.integers(16, 256).map(lambda tokens: 16 * tokens)
NAMES = sorted(
    gpu.id
    for gpu in load_gpus().values()
    if not isinstance(predict(work(), card_of(gpu), Run()), Reason)
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(NAMES), SIDES, st.integers(1, 50), st.integers(1, 4))
def test_never_faster_than_the_roofline_and_more_work_takes_longer(
    name: str, side: int, steps: int, batch: int
) -> None:
    on = card(name)
    asked = work(side, steps=steps, batch=batch, decoded_pixels=batch * side**2)
    answer = told(predict(asked, on, Run()))
    chip = chip_of(on)
    assert chip is not None
    cost = load_constants().classes["none"].costs[Mode.EAGER]
    assert floor_seconds(asked, FLUX, chip, cost) <= answer.low <= answer.mid <= answer.high
    for more in (
        replace(asked, steps=steps + 1),
        replace(asked, image_tokens=asked.image_tokens + 16),
        replace(asked, batch=batch + 1),
        replace(asked, reference_tokens=1024),
    ):
        assert told(predict(more, on, Run())).mid > answer.mid
    fourfold = replace(asked, batch=4 * batch, decoded_pixels=4 * batch * side**2)
    assert told(predict(fourfold, on, Run())).mid < 4 * 1.5 * answer.mid


def test_true_guidance_takes_two_passes() -> None:
    chip, constants = chip_of(card("l20-48gb")), load_constants()
    assert chip is not None
    once, twice = (parts(work(passes=n), chip, Run(), constants).steps for n in (1, 2))
    assert twice == pytest.approx(2 * once)


def test_compiled_is_faster_and_8_bit_products_faster_still() -> None:
    on = card("h100-80gb")
    eager = told(predict(work(), on, Run())).mid
    compiled = told(predict(work(), on, Run(mode=Mode.COMPILED))).mid
    eight = told(predict(work(), on, Run(timing="fp8-dynamic", mode=Mode.COMPILED))).mid
    assert eight < compiled < eager


def test_unpacking_costs_alike_at_any_size_so_it_matters_less_at_a_large_one() -> None:
    on, run = card("rtx-3090-24gb"), Run(timing="gguf-legacy")
    shares = [
        told(predict(work(side), on, run)).mid / told(predict(work(side), on, Run())).mid
        for side in (512, 1024, 2048)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] > 1


def test_offload_moves_bytes_once_when_staged_and_twice_when_brought_back() -> None:
    chip, constants = chip_of(card("rtx-4090-24gb")), load_constants()
    assert chip is not None
    moved = Run(moved_bytes=20 * 10**9)
    move = {
        place: parts(work(), chip, replace(moved, placement=place), constants).move
        for place in (Placement.RESIDENT, Placement.STAGED, Placement.MODEL_OFFLOAD)
    }
    assert move[Placement.RESIDENT] == 0
    assert move[Placement.MODEL_OFFLOAD] == pytest.approx(2 * move[Placement.STAGED])
    assert 20 / 8 < move[Placement.STAGED] < 20 / 2
    offloaded = replace(moved, placement=Placement.MODEL_OFFLOAD)
    assert Basis.OFFLOAD in told(predict(work(), card("rtx-4090-24gb"), offloaded)).basis


ON_4090 = card("rtx-4090-24gb")


@pytest.mark.parametrize(
    ("name", "run", "reason"),
    [
        ("rx-7900-xtx-24gb", Run(), Reason.AMD),
        ("apple-36gb", Run(), Reason.APPLE),
        ("arc-b580-12gb", Run(), Reason.INTEL),
        ("gtx-1660-6gb", Run(), Reason.NO_MATRIX_UNITS),
        ("dgx-spark-128gb", Run(), Reason.NO_FIGURES),
        ("rtx-3090-24gb", Run(timing="fp8-dynamic", mode=Mode.COMPILED), Reason.NO_FP8),
        ("v100-32gb", Run(timing="int8-dynamic", mode=Mode.COMPILED), Reason.BF16_EAGER),
        (
            "v100-32gb",
            Run(timing="int8-dynamic", mode=Mode.COMPILED, dtype="fp16"),
            Reason.NO_INT8,
        ),
        ("rtx-4090-24gb", Run(timing="svdquant"), Reason.SVDQUANT),
        ("rtx-4090-24gb", Run(timing="untimed"), Reason.UNTIMED),
        ("rtx-4090-24gb", Run(timing="bnb-int8", mode=Mode.COMPILED), Reason.UNTIMED_MODE),
        ("rtx-4090-24gb", Run(dtype="fp32"), Reason.FP32),
        ("t4-16gb", Run(mode=Mode.COMPILED), Reason.BF16_EAGER),
        ("rtx-4090-24gb", Run(placement=Placement.GROUP_OFFLOAD), Reason.GROUP_OFFLOAD),
        ("rtx-4090-24gb", Run(host_memory_suffices=False), Reason.HOST_MEMORY),
        (
            "rtx-4090-24gb",
            Run(placement=Placement.STAGED, host_memory_suffices=False),
            Reason.READ_AGAIN,
        ),
    ],
)
def test_no_number_where_nothing_honest_can_be_said(name: str, run: Run, reason: Reason) -> None:
    answer = predict(work(), card(name), run)
    assert answer is reason
    assert reason.text.endswith(".")


def test_video_and_a_rewritten_prompt_have_no_number() -> None:
    assert predict(work(frames=81), ON_4090, Run()) is Reason.VIDEO
    asked = replace(work(), writes_prompt=True)
    assert predict(asked, ON_4090, Run()) is Reason.WRITES_PROMPT


def test_bf16_without_hardware_is_slow_and_said() -> None:
    turing = card("t4-16gb")
    bf16, fp16 = (told(predict(work(), turing, Run(dtype=name))) for name in ("bf16", "fp16"))
    assert bf16.mid > 3 * fp16.mid
    assert Basis.EMULATED_BF16 in bf16.basis
    assert Basis.EMULATED_BF16 not in fp16.basis


def test_the_interval_is_wider_where_less_is_known() -> None:
    def width(name: str, **changes: str) -> float:
        answer = told(predict(work(), card(name), Run(**changes)))  # type: ignore[arg-type]
        return answer.high / answer.mid

    known = width("rtx-4090-24gb")
    assert known < width("rtx-4080-16gb") < width("rtx-4080-16gb", timing="gguf-legacy")
    assert width("rtx-4090-24gb", timing="gguf-k") < width("rtx-4090-24gb", timing="packed-eager")


def test_measured_here_outranks_and_scales_what_is_predicted() -> None:
    slow = MeasuredRun(work(), Run(), 2 * told(predict(work(), ON_4090, Run())).mid)
    same = told(predict(work(), ON_4090, Run(), measured=Measured([slow])))
    assert (same.evidence, same.mid, same.basis) == ("measured", slow.seconds, (Basis.MEASURED,))
    other = work(512)
    plain = told(predict(other, ON_4090, Run()))
    scaled = told(predict(other, ON_4090, Run(), measured=Measured([slow])))
    assert scaled.mid == pytest.approx(2 * plain.mid)
    assert scaled.basis[0] is Basis.SCALED
    assert scaled.evidence == "predicted"
    assert scaled.high / scaled.mid < plain.high / plain.mid


def test_a_run_of_the_same_scheme_tells_more_than_another() -> None:
    usual = told(predict(work(), ON_4090, Run())).mid
    packed = Run(timing="nf4")
    runs = [
        MeasuredRun(work(), Run(), 3 * usual),
        MeasuredRun(work(), packed, told(predict(work(), ON_4090, packed)).mid),
    ]
    asked = told(predict(work(512), ON_4090, packed, measured=Measured(runs)))
    assert asked.mid == pytest.approx(told(predict(work(512), ON_4090, packed)).mid)


def test_an_encoder_that_nobody_timed_is_said() -> None:
    asked = replace(work(), encoders=(replace(T5, timing="untimed"),))
    answer = told(predict(asked, ON_4090, Run()))
    assert Basis.ENCODER in answer.basis
    assert answer.mid > told(predict(work(), ON_4090, Run())).mid


def test_a_clock_tells_each_run_what_it_takes_alone() -> None:
    h100, constants = card("h100-80gb"), load_constants()
    clock, chip = Clock(h100), chip_of(h100)
    assert chip is not None
    works = [work(), work(batch=2), work(steps=4), replace(work(), encoders=())]
    runs = [
        Run(timing=timing, mode=mode, placement=place, moved_bytes=moved)
        for timing, mode in product(constants.classes, Mode)
        for place, moved in ((Placement.RESIDENT, 0), (Placement.MODEL_OFFLOAD, 9_000_000_000))
    ]
    for one, run in product(works, runs):
        answer = clock.seconds(one, run)
        assert answer == predict(one, h100, run)
        if isinstance(answer, Seconds):
            assert answer.mid == parts(one, chip, run, constants).total


def test_wrong_input_is_named() -> None:
    with pytest.raises(InputError, match=r"nf5.*nf4"):
        predict(work(), ON_4090, Run(timing="nf5"))
    with pytest.raises(InputError, match="steps"):
        predict(work(steps=0), ON_4090, Run())
