"""Modes, noise floor, out of memory, and what a device tells: the ways of a GPU, run on a CPU.

The counters of a device (lab/counters.py) are the seam where one is stood in for.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel

from quantlab.catalog.answer.pick import recommend
from quantlab.catalog.answer.seconds import Timer
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.machine import Machine
from quantlab.catalog.placement import KINDS
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.sizes.predict import plan_bytes
from quantlab.catalog.table import load_catalog
from quantlab.catalog.time import Reason, Seconds
from quantlab.cli import main
from quantlab.errors import DoesNotFit, LoadError
from quantlab.lab.bench import trial
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.run import FirstStep, Run
from quantlab.lab.libraries import load
from quantlab.lab.load.check import check
from quantlab.lab.load.oom import ran_out, what_was_asked
from quantlab.lab.load.pool import LoadedPlan, Pool
from quantlab.lab.runners.isolated import compare_isolated
from quantlab.ui.compare.stage.board import board
from quantlab.ui.compare.stage.measured_view import how_it_ran, warnings_of
from quantlab.ui.state import Shown
from quantlab.words.outcome import NoiseFloor, Outcome
from quantlab.words.outcome_text import floor_text
from quantlab.words.plan import Plan
from tests.device import DEVICE

CATALOG = load_catalog()
MINI = CATALOG.models["flux-mini"]
PROMPT = "a fox on a white background"
GIB = 2**30
SMALL: dict[str, Any] = {"width": 64, "height": 64}


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(CATALOG, DEVICE)


# The noise floor


def test_the_floor_of_an_eager_cpu_is_zero_and_stands_beside_every_score(
    bench: Bench, tmp_path: Path
) -> None:
    comparison = make_comparison(plans=["fp32", "torchao-int8wo"], prompt=PROMPT, steps=2, **SMALL)
    for warmup, repeated in ((1, "image"), (0, "step")):
        outcomes = compare(comparison, bench=bench, out=tmp_path, warmup=warmup)
        assert [o.noise_floor for o in outcomes] == [NoiseFloor(None, 0.0, repeated)] * 2


def test_a_reference_that_wavers_has_a_floor_of_its_own_size(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second call of the transformer answers 1% more than it should."""
    calls = 0
    forward = FluxTransformer2DModel.forward

    def waver(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        (found,) = forward(self, *args, **kwargs)
        return (found * (1.01 if calls % 2 == 0 else 1.0),)

    monkeypatch.setattr(FluxTransformer2DModel, "forward", waver)
    comparison = make_comparison(plans=["fp32"], prompt=PROMPT, steps=1, **SMALL)
    (image,) = compare(comparison, bench=bench, out=tmp_path, warmup=1)
    assert image.noise_floor is not None
    assert image.noise_floor.psnr_db is not None
    assert image.noise_floor.rel_l2 == pytest.approx(0.01, rel=0.02)
    (step,) = compare(comparison, bench=bench, out=tmp_path, warmup=0)
    assert step.noise_floor is not None
    assert step.noise_floor.repeated == "step"
    assert step.noise_floor.rel_l2 == pytest.approx(0.01, rel=0.02)
    assert calls == 4  # two runs, and one run with a single step done again


def test_the_floor_crosses_the_border_of_isolated_plans(tmp_path: Path) -> None:
    comparison = make_comparison(plans=["fp32", "fp32"], prompt=PROMPT, steps=1, **SMALL)
    outcomes = compare_isolated(comparison, catalog=CATALOG, device=DEVICE, out=tmp_path, warmup=0)
    assert [o.noise_floor for o in outcomes] == [NoiseFloor(None, 0.0, "step")] * 2


# Modes


def test_scores_across_modes_are_marked_and_say_what_compiling_alone_does(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(
        FluxTransformer2DModel,
        "compile_repeated_blocks",
        lambda _, fullgraph: asked.append(fullgraph),
    )
    plans = ["fp32", "torchao-int8wo", "fp32@compiled", "torchao-int8wo@compiled"]
    comparison = make_comparison(plans=plans, prompt=PROMPT, steps=1, **SMALL)
    outcomes = compare(comparison, bench=bench, out=tmp_path, warmup=0)
    assert asked == [True, True]
    assert [o.across_modes for o in outcomes] == [False, False, True, True]
    assert outcomes[1].notes == ()
    assert "the distance is the compiler's alone" in outcomes[2].notes[-1]
    assert outcomes[3].notes[-1].endswith("fp32@compiled alone is identical to it.")
    again = make_comparison(plans=plans[2:], prompt=PROMPT, steps=1, **SMALL)
    assert [o.across_modes for o in compare(again, bench=bench, out=tmp_path, warmup=0)] == [
        False,
        False,
    ]


def test_the_table_shows_floor_and_placement_and_marks_scores_across_modes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(FluxTransformer2DModel, "compile_repeated_blocks", lambda _, **__: None)
    command = ["compare", "--plans", "fp32", "torchao-int8wo", "fp32@compiled", "--steps", "1"]
    command += ["--width", "64", "--height", "64"]
    assert main([*command, "--warmup", "0", "--out", str(tmp_path)]) == 0
    head, fp32, int8, compiled, *words = capsys.readouterr().out.splitlines()
    assert head.split()[-5:] == ["L2", "FLIP", "floor", "L2", "placement"]
    assert fp32.split()[-6:] == ["-", "-", "-", "-", "0.0000", "cpu"]
    assert "*" not in int8
    assert compiled.split()[-6:] == ["-", "-", "0.0000*", "-", "0.0000", "cpu"]
    assert "noise floor: the same step to the bit (reference repeated)" in words
    assert "* a score across modes: eager held against compiled, or the reverse" in words
    assert any(w.startswith("fp32@compiled: Held against itself in eager mode") for w in words)


# Out of memory


def test_out_of_memory_is_a_row_that_names_what_fits_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    load = Pool.load

    def fail(*_: Any) -> None:
        local = torch.ones(1000)
        seen["local"] = weakref.ref(local)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def loading(self: Pool, model: Any, plan: Plan, *rest: Any) -> LoadedPlan:
        if str(plan) == "bnb-nf4":
            seen["left"] = [name for name, ref in seen.items() if ref() is not None]
            seen["held"] = self.held()
        loaded = load(self, model, plan, *rest)
        if str(plan) == "torchao-int8wo":
            seen["transformer"] = weakref.ref(loaded.pipe.transformer)
            seen["encoder"] = weakref.ref(loaded.pipe.text_encoder_2)
            seen["weight"] = weakref.ref(loaded.pipe.transformer.proj_out.weight)
            loaded.pipe.transformer.register_forward_pre_hook(fail)
        return loaded

    monkeypatch.setattr(Pool, "load", loading)
    plans = ["fp32", "torchao-int8wo", "bnb-nf4"]
    comparison = make_comparison(plans=plans, prompt=PROMPT, steps=1, **SMALL)
    first, failed, last = compare(comparison, bench=Bench(CATALOG, DEVICE), out=tmp_path, warmup=0)
    assert failed.error is not None
    assert (failed.error.stage, failed.error.type) == ("run", "OutOfMemory")
    said, _, named = failed.error.message.partition("Predicted to fit here: ")
    assert said == "Memory ran out: CUDA out of memory. Tried to allocate 2.00 GiB. "
    smaller = parse_plan(named.partition(", ")[0], MINI)
    weights = sum(plan_bytes("flux-mini", dict(smaller.parts)).values())
    assert weights < sum(plan_bytes("flux-mini", {"transformer": "torchao-int8wo"}).values())
    assert seen["left"] == []  # before the next plan loads, all of the failed one is gone
    assert seen["held"] == ()
    assert (first.status, last.status) == ("ok", "ok")
    assert last.transformer_rel_l2 is not None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("HIP out of memory."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_every_way_of_running_out_is_known(error: Exception, expected: bool) -> None:
    wrapped = LoadError("transformer: it failed")
    wrapped.__cause__ = error
    assert ran_out(error) == expected
    assert ran_out(wrapped) == expected


def test_what_torch_adds_of_other_processes_is_not_repeated() -> None:
    said = (
        "CUDA out of memory. Tried to allocate 32.00 MiB. GPU 0 has a total capacity of 139.80 GiB "
        "of which 129.01 GiB is free. Process 465 has 770.00 MiB memory in use. See documentation."
    )
    asked = "CUDA out of memory. Tried to allocate 32.00 MiB"
    assert what_was_asked(torch.OutOfMemoryError(said)) == asked
    assert what_was_asked(MemoryError()) == "MemoryError"


def test_a_plan_leaves_the_compilers_settings_as_they_are() -> None:
    """torchao would have the compiler search for each kernel's best form: minutes, for all plans.

    Compiling FLUX's blocks in torchao-fp8dq had not ended after two minutes on an H200, where bf16
    took 11 s (data/results/gpu-h200.jsonl).
    """
    settings = load("torch._inductor.config")
    before = settings.save_config_portable()
    Pool(0, CATALOG, DEVICE).load(MINI, parse_plan("torchao-int8dq", MINI), lambda _: None)
    assert settings.save_config_portable() == before


# What a device tells


class Told:
    """Counters of a device with ``total`` bytes."""

    kind = "cuda-allocated"

    def __init__(self, total: int) -> None:
        self._total = total

    def usable_bytes(self) -> int:
        return self._total

    def release(self) -> None:
        """Nothing is kept."""


def a_gpu(gib: float, host_gib: float = 64) -> Pool:
    """A pool on a CUDA device with ``gib`` of memory, with every library installed."""
    packages = {name: "99" for method in CATALOG.methods.values() for name in method.packages}
    device = replace(
        DEVICE,
        kind="cuda",
        target="cuda",
        counters=Told(round(gib * GIB)),  # type: ignore[arg-type]
        host_free_bytes=lambda: round(host_gib * GIB),
        machine=Machine(("cpu", "cuda"), 8.9, compiler=True, packages=packages),
    )
    return Pool(0, CATALOG, device)


@pytest.mark.parametrize(
    ("plan", "gib", "kind"),
    [
        ("bf16", 48, "resident"),
        ("bf16", 32, "staged"),
        ("bf16", 12, "group-offload"),
        ("bnb-nf4", 24, "resident"),
        ("bnb-nf4", 16, "staged"),
    ],
)
def test_a_gpu_gets_the_best_placement_that_fits(plan: str, gib: float, kind: str) -> None:
    comparison = make_comparison(model="flux1-dev", plans=[plan], prompt=PROMPT)
    assert check(comparison, comparison.plans[0], a_gpu(gib)) == kind


def test_what_fits_no_way_is_refused_with_the_numbers_and_a_plan_that_does() -> None:
    plan = "transformer=quanto-int8,text_encoder_2=quanto-int8"
    comparison = make_comparison(model="flux1-dev", plans=[plan], prompt=PROMPT)
    with pytest.raises(DoesNotFit) as error:
        check(comparison, comparison.plans[0], a_gpu(12))
    message = str(error.value)
    assert "GiB with model offload" in message
    assert "group offload does not work with" in message
    assert "12.0 GiB" in message
    assert "Predicted to fit here" in message


def test_offloaded_weights_must_fit_the_host() -> None:
    comparison = make_comparison(model="flux1-dev", plans=["bf16"], prompt=PROMPT)
    with pytest.raises(DoesNotFit, match=r"GiB of host memory beside the GPU's; 8\.0 GiB are free"):
        check(comparison, comparison.plans[0], a_gpu(16, host_gib=8))


# Warnings


def loaded(placement: str) -> LoadedPlan:
    return LoadedPlan(None, {}, {}, 0.0, "", placement, DEVICE)


def test_schemes_that_are_hopeless_in_eager_mode_say_so_before_and_after() -> None:
    run = Run(None, 0.0, 0.0, 0.0, FirstStep({}, None), None, True)
    drawn = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    for plan, warned in (("torchao-int8dq", True), ("torchao-int8dq@compiled", False)):
        parsed = parse_plan(plan, MINI)
        assert bool(warnings_of(plan, CATALOG)) == warned
        facts = board([plan], Shown(), MINI, CATALOG)["facts"]
        assert ("slower than bf16 on a GPU" in str(facts)) == warned
        assert bool(trial._notes(parsed, loaded("resident"), run, drawn, CATALOG)) == warned
        assert not trial._notes(parsed, loaded("cpu"), run, drawn, CATALOG)
    assert len(warnings_of("transformer=torchao-int4wo,text_encoder_2=bnb-nf4", CATALOG)) == 1
    assert not warnings_of("bnb-nf4", CATALOG)


def test_no_seconds_are_told_of_what_was_measured_not_to_compile() -> None:
    model = CATALOG.models["flux1-dev"]
    timer = Timer(model, load_gpus()["rtx-4090-24gb"], picture_of(model), CATALOG)
    for scheme, compiled in (("torchao-int8dq", False), ("torchao-fp8dq", True)):
        assert isinstance(timer.seconds(parse_plan(scheme, model)), Seconds)
        found = timer.seconds(parse_plan(f"{scheme}@compiled", model))
        assert isinstance(found, Seconds) if compiled else found is Reason.NOT_COMPILED


@pytest.mark.parametrize("device", ["rtx-4090-24gb", "rx-7900-xtx-24gb", "apple-24gb"])
def test_plans_are_compared_by_the_middle_of_what_is_told(device: str) -> None:
    model, plans = CATALOG.models["flux1-dev"], ("bf16", "gguf-q4_k", "torchao-int8dq@compiled")
    timer = Timer(model, load_gpus()[device], picture_of(model), CATALOG, ram_bytes=32 * 2**30)
    for plan in (parse_plan(text, model) for text in plans):
        needs = needs_of(plan, model, catalog=CATALOG)
        each = [timer.seconds(plan, kind, needs) for kind in KINDS]
        told = [one.mid if isinstance(one, Seconds) else None for one in each]
        assert list(timer.mids(plan, KINDS, needs)) == told


def test_pick_carries_the_warning_on_a_gpu_without_changing_the_verdict() -> None:
    rows = {row.scheme: row for row in recommend(hardware="cuda", model="flux1-dev")}
    said = [reason for reason in rows["torchao-int8dq"].reasons if reason.startswith("eager mode")]
    assert len(said) == 1
    assert "20 times slower" in said[0]
    assert rows["torchao-int8dq"].verdict == rows["torchao-int8wo"].verdict
    for row in recommend(hardware="cpu"):
        assert not any("eager mode" in reason for reason in row.reasons)


# What is kept and shown


def test_an_outcome_survives_its_plain_form_and_old_ones_still_load() -> None:
    outcome = Outcome(
        plan="bnb-nf4",
        status="ok",
        placement="model-offload",
        load_peak_bytes=3 * GIB,
        run_peak_bytes=2 * GIB,
        reserved_bytes=4 * GIB,
        noise_floor=NoiseFloor(39.7, 0.01, "image"),
        across_modes=True,
    )
    plain = outcome.as_dict()
    assert plain["noise_floor"] == {"psnr_db": 39.7, "rel_l2": 0.01, "repeated": "image"}
    assert Outcome.from_dict(plain) == outcome
    added = ("placement", "load_peak_bytes", "run_peak_bytes", "reserved_bytes", "device_bytes")
    old = {k: v for k, v in plain.items() if k not in (*added, "noise_floor", "across_modes")}
    assert Outcome.from_dict(old) == Outcome(plan="bnb-nf4", status="ok")
    names = [name for name, _ in how_it_ran(outcome)]
    assert names == [
        "placement",
        "peak while loading",
        "peak while running",
        "reserved by the allocator",
    ]
    assert floor_text(outcome) == "noise floor: 39.7 dB PSNR, one step 1% off (reference repeated)"
    bit = replace(outcome, noise_floor=NoiseFloor(None, 0.0, "image"))
    assert floor_text(bit) == "noise floor: none, the reference repeats to the bit"
    assert floor_text(replace(outcome, noise_floor=None)) == ""
