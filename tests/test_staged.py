"""Staged: text encoders, then what draws, then the decoder alone; the same picture to the bit."""

from __future__ import annotations

import ast
import gc
import json
import shutil
import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.paths import OWN_MODELS
from quantlab.catalog.placement import Device, how, placements_for
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import DoesNotFit, PlanError
from quantlab.families import families
from quantlab.lab.bench.fidelity import image_array
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.bench.trial import Trial
from quantlab.lab.hub.admit import admit
from quantlab.lab.load.fits import place_on
from quantlab.lab.load.pool import LoadedPlan, Pool, compile_settings
from quantlab.lab.load.stages import decode_alone
from quantlab.lab.references import admit_reference, file_of
from quantlab.lab.script.pipeline import snippet
from quantlab.ui.pick.card_view import KEY_MARK
from quantlab.ui.pick.tab import script_for
from quantlab.ui.services import Services
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan
from tests.device import DEVICE
from tests.test_family_runs import asked
from tests.test_snippet import IN_ONE_PROCESS, _folder, _run
from tests.twins import scale_pictures_less, twin
from tools.twins import build

CATALOG = load_catalog()
MINI, DEV = CATALOG.models["flux-mini"], CATALOG.models["flux1-dev"]
GIB = 2**30
SMALL: dict[str, Any] = {"steps": 2, "width": 64, "height": 64}
COMPARISON = make_comparison(plans=["fp32"], prompt="a fox on a white background", **SMALL)
PLANS = [
    "fp32", "bf16", "torchao-int8wo", "gguf-q4_0", "layerwise-fp8", "bnb-nf4",
    "transformer=quanto-int8,text_encoder_2=torchao-int8wo",
]  # fmt: skip


def quiet(_: object) -> None:
    """Nobody listens."""


def pictures(
    loaded: LoadedPlan, count: int = 1, comparison: Comparison = COMPARISON
) -> list[np.ndarray]:
    with loaded.reading() as pipe:
        encoded = encode(pipe, comparison, DEVICE)
    found = []
    for _ in range(count):
        with loaded.drawing() as pipe:
            run = generate(pipe, comparison, encoded, DEVICE, on_step=quiet, stop=threading.Event())
        found.append(image_array(run.image))
    return found


# Running


@lru_cache
def whole(plan: str) -> tuple[np.ndarray, Mapping[str, int], str]:
    """The picture of the pipeline in one piece, its weights and its way."""
    loaded = Pool(GIB, CATALOG, DEVICE).load(MINI, parse_plan(plan, MINI), quiet)
    return pictures(loaded)[0], loaded.weights_bytes, loaded.way


@pytest.mark.parametrize("budget", [0, GIB], ids=["let go", "waiting"])
@pytest.mark.parametrize("plan", PLANS)
def test_stages_draw_the_picture_of_the_whole_pipeline(plan: str, budget: int) -> None:
    expected, weights, way = whole(plan)
    pool, said = Pool(budget, CATALOG, DEVICE), list[str]()
    loaded = pool.load(MINI, parse_plan(plan, MINI), said.append, "staged")
    assert [key.component for key in pool.held()] == ["text_encoder", "text_encoder_2"]
    assert all((each == expected).all() for each in pictures(loaded, 2))
    told = loaded.told()
    assert told.placement == "staged"
    assert told.weights_bytes == weights
    assert told.way == way
    reads = len([text for text in said if "transformer" in text])
    assert reads == (2 if budget == 0 else 1)
    assert told.load_s > 0


def test_in_one_memory_nothing_waits_off_the_device() -> None:
    pool, said = Pool(GIB, CATALOG, replace(DEVICE, unified=True)), list[str]()
    loaded = pool.load(MINI, parse_plan("fp32", MINI), said.append, "staged")
    assert all((each == whole("fp32")[0]).all() for each in pictures(loaded, 2))
    assert len([text for text in said if "transformer" in text]) == 2
    assert {key.component for key in pool.held()} == {"vae"}
    assert replace(DEVICE, unified=True).memory.unified


def test_what_is_let_go_of_is_gone_before_the_next_stage_is_read() -> None:
    pool = Pool(0, CATALOG, DEVICE)
    loaded = pool.load(MINI, parse_plan("fp32", MINI), quiet, "staged")
    with loaded.reading() as pipe:
        encoders = [weakref.ref(pipe.text_encoder), weakref.ref(pipe.text_encoder_2)]
        encoded = encode(pipe, COMPARISON, DEVICE)
    del pipe
    seen: list[str] = []
    with loaded.drawing() as pipe:
        gc.collect()
        assert [ref() for ref in encoders] == [None, None]
        denoiser, decode = weakref.ref(pipe.transformer), pipe.vae.decoder.forward

        def watched(*args: Any, **kwargs: Any) -> Any:
            gc.collect()
            seen.append("gone" if denoiser() is None else "there")
            return decode(*args, **kwargs)

        pipe.vae.decoder.forward = watched
        generate(pipe, COMPARISON, encoded, DEVICE, on_step=quiet, stop=threading.Event())
        decoder = pipe.vae
    assert seen == ["gone"]
    assert "decode" not in vars(decoder)  # the shared module is as it was
    assert loaded.denoiser is not None  # read once more, for the noise floor


class Staging(Pool):
    """Stages every plan, which nothing asks for on a CPU."""

    def load(self, model: Model, plan: Plan, say: Any, *_: object) -> LoadedPlan:
        return super().load(model, plan, say, "staged")


def test_a_trial_runs_a_staged_plan_and_says_so(tmp_path: Path) -> None:
    comparison = make_comparison(plans=["fp32", "torchao-int8wo"], prompt="a red apple", **SMALL)
    pool = Staging(0, CATALOG, DEVICE)
    trial = Trial(pool, comparison, tmp_path, quiet, threading.Event(), 1, 1)
    first, second = (trial.outcome(n, plan) for n, plan in enumerate(comparison.plans))
    assert (first.status, second.status) == ("ok", "ok"), (first.error, second.error)
    assert first.placement == second.placement == "staged"
    assert set(first.weights_bytes) == {"transformer", "text_encoder", "text_encoder_2", "vae"}
    assert first.noise_floor is not None
    assert second.transformer_rel_l2 is not None
    assert 0 < second.transformer_rel_l2 < 0.1


@pytest.mark.parametrize("name", ["flux2-klein", "z-image", "qwen-image", "sdxl", "sd3"])
def test_every_family_decodes_without_its_denoiser(name: str, tmp_path: Path) -> None:
    build(name, tmp_path / name)
    family = families()[name]
    pipe = diffusers.DiffusionPipeline.from_pretrained(tmp_path / name, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    comparison = asked(3.5)
    encoded = encode(pipe, comparison, DEVICE)

    def draw() -> np.ndarray:
        run = generate(pipe, comparison, encoded, DEVICE, on_step=quiet, stop=threading.Event())
        return np.asarray(run.image)

    whole, calls = draw(), list[str]()
    for each in family.encoders:
        setattr(pipe, each, None)
    decode_alone(pipe, family.decoder, list(family.denoisers), lambda: calls.append("released"))
    assert (draw() == whole).all()
    assert calls == ["released"]
    assert all(getattr(pipe, each) is None for each in family.denoisers)


def test_an_encoder_that_is_left_out_is_as_wide_as_the_denoiser_that_comes_later_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """diffusers asks SD3's denoiser, which is not read yet, how wide T5's zeros are to be."""
    monkeypatch.setenv(OWN_MODELS, "")
    model = admit(str(twin("sd3")))
    plans = ["transformer=torchao-int8wo,text_encoder_3=none"]
    comparison = make_comparison(model=model.id, plans=plans, prompt="a red apple", **SMALL)
    catalog, (plan,) = load_catalog(), comparison.plans
    made = [
        pictures(Pool(GIB, catalog, DEVICE).load(model, plan, quiet, kind), comparison=comparison)
        for kind in (None, "staged")
    ]
    assert (made[0][0] == made[1][0]).all()
    script = snippet(comparison, plan, catalog, DEVICE, placement="staged")
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
    with Image.open("image.png") as image:
        assert (image_array(image) == made[1][0]).all()


@pytest.mark.parametrize(
    ("name", "left_out", "shown"),
    [
        ("qwen-image-edit", "", ["teal"]),
        ("qwen-image-2.1", "", ["teal"]),
        ("flux3", ",prompt_upsampler=none", ["teal", "orange"]),
    ],
    ids=["encoded-and-embedded", "given-again", "blocks"],
)
def test_pictures_to_go_by_are_seen_in_the_stages_that_look_at_them(
    name: str, left_out: str, shown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text encoder is shown them before it goes, the autoencoder reads them where it draws."""
    monkeypatch.setenv(OWN_MODELS, "")
    monkeypatch.chdir(tmp_path)
    scale_pictures_less(monkeypatch)
    digests = []
    for color in shown:
        Image.new("RGB", (96, 64), color).save(f"{color}.png")
        digests.append(admit_reference(f"{color}.png"))
        shutil.copy(file_of(digests[-1]), tmp_path)
    model = admit(str(twin(name)))
    comparison = make_comparison(
        model=model.id,
        plans=[f"transformer=torchao-int8wo{left_out}"],
        prompt="a red apple",
        sequence_length=80,
        reference=",".join(digests),
        **SMALL,
    )
    catalog, (plan,) = load_catalog(), comparison.plans
    resident, staged = (
        pictures(Pool(GIB, catalog, DEVICE).load(model, plan, quiet, kind), 1, comparison)[0]
        for kind in (None, "staged")
    )
    assert (resident == staged).all()
    script = snippet(comparison, plan, catalog, DEVICE, placement="staged")
    exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
    with Image.open("image.png") as image:
        assert (image_array(image) == staged).all()


# Choosing


def test_staged_takes_less_of_the_device_than_resident_and_less_of_the_host_than_offload() -> None:
    for model in CATALOG.models.values():
        needs = needs_of(parse_plan(model.base_dtype, model), model, catalog=CATALOG)
        assert needs.staged_bytes < needs.resident_bytes
        assert needs.host_bytes < needs.offload_host_bytes


def test_stages_free_what_bitsandbytes_loads_on_the_device() -> None:
    """Under model offload both quantized parts are on the device while they are read."""
    plan = parse_plan("transformer=bnb-nf4,text_encoder_2=bnb-nf4", DEV)
    needs = needs_of(plan, DEV, catalog=CATALOG)
    found = placements_for(needs, plan, Device(10 * GIB), CATALOG)
    assert [each.kind for each in found] == ["staged"]
    assert "staged, predicted" in found[0].reasons[0]


def test_a_compiled_plan_and_one_with_a_lora_beside_it_are_not_staged() -> None:
    plan = parse_plan("bnb-nf4@compiled", DEV)
    needs = needs_of(plan, DEV, catalog=CATALOG)
    kinds = [each.kind for each in placements_for(needs, plan, Device(16 * GIB), CATALOG)]
    assert kinds == ["model-offload"]
    asked_for = make_comparison(
        model="flux1-dev", plans=["bnb-nf4"], prompt="a fox", lora="owner/name"
    )
    assert place_on(Device(16 * GIB), asked_for, asked_for.plans[0], CATALOG).kind != "staged"
    assert how("staged") == "staged"


# The script


def test_the_staged_script_makes_the_same_image_to_the_bit(tmp_path: Path) -> None:
    expected, folders = {}, {}
    for text in ("fp32", "torchao-int8wo", "gguf-q4_0"):
        plan = parse_plan(text, MINI)
        script = snippet(COMPARISON, plan, CATALOG, DEVICE, placement="staged")
        folders[text] = _folder(tmp_path, text, script)
        expected[text] = whole(text)[0]
    _run(["-c", IN_ONE_PROCESS, json.dumps([str(each) for each in folders.values()])], tmp_path)
    for text, folder in folders.items():
        with Image.open(folder / "image.png") as image:
            assert (image_array(image) == expected[text]).all(), text


@pytest.mark.parametrize("model_id", ["flux1-dev", "qwen-image-2512", "z-image-turbo", "sdxl"])
def test_a_script_is_python_for_every_placement(model_id: str) -> None:
    model = CATALOG.models[model_id]
    comparison = make_comparison(model=model_id, plans=["bf16"], prompt='it\'s a "fox"')
    said = {
        "resident": 'pipe.to("cuda")',
        "model-offload": 'pipe.enable_model_cpu_offload(device="cuda")',
        "group-offload": 'pipe.enable_group_offload(onload_device=torch.device("cuda")',
        "staged": f"decode_alone(pipe, {model.family.decoder!r}",
    }
    for kind, line in said.items():
        text = snippet(
            comparison, comparison.plans[0], CATALOG, DEVICE, placement=kind, target="cuda"
        )
        ast.parse(text)
        assert line in text
        assert "quantlab" not in text


def test_a_card_gets_the_script_of_its_placement(capsys: pytest.CaptureFixture[str]) -> None:
    def script(*more: str) -> str:
        assert main(["snippet", "--model", "flux1-dev", "--plan", "bnb-nf4", *more]) == 0
        return capsys.readouterr().out

    assert script("--gpu", "3060 12gb") == script("--placement", "staged")
    assert script("--gpu", "h100-80gb") == script() == script("--placement", "resident")
    assert main(["snippet", "--plan", "fp32", "--placement", "somewhere"]) == 2
    assert "placement: 'somewhere'; there are resident, staged" in capsys.readouterr().err
    assert main(["snippet", "--model", "flux1-dev", "--plan", "bf16", "--gpu", "apple-16gb"]) == 1


def test_a_compiled_script_has_the_runners_settings_after_it_is_placed() -> None:
    def script(plan: str, placement: str = "resident") -> str:
        asked = make_comparison(model="flux1-dev", plans=[plan], prompt="a fox")
        return snippet(asked, asked.plans[0], CATALOG, DEVICE, placement=placement, target="cuda")

    bnb = script("bnb-nf4@compiled", "model-offload")
    ast.parse(bnb)
    assert "import torch._dynamo\n" in bnb
    for name, value in compile_settings([CATALOG.methods["bitsandbytes"]]).items():
        assert f"torch._dynamo.config.{name} = {value!r}\n" in bnb
    assert bnb.index("enable_model_cpu_offload") < bnb.index("compile_repeated_blocks")
    assert "fullgraph=True" in bnb
    assert "fullgraph=False" in script("layerwise-fp8@compiled")
    assert "fullgraph=False" in script("quanto-w8a8@compiled")
    assert "fullgraph=False" in script("bf16@compiled", "group-offload")
    assert "_dynamo" not in script("bnb-nf4")


def test_the_pages_script_of_a_choice_is_that_choice() -> None:
    services = Services(catalog=CATALOG, runner=None, store=None)  # type: ignore[arg-type]

    def script(*asked: str) -> str:
        return script_for(services, KEY_MARK.join(asked))

    text = script("flux1-dev", "bnb-nf4", "staged", "cuda")
    assert "decode_alone(pipe" in text
    assert 'pipe.to("mps")' in script("flux1-dev", "gguf-q4_k", "resident", "metal")
    turns = script("flux1-dev", "gguf-q6_k", "staged", "metal")
    assert turns.count('pipe.to("mps")') == 2
    assert turns.count("torch.mps.empty_cache()") == 2
    ast.parse(turns)
    assert script("flux1-dev", "bnb-nf4").startswith("# No script: plan: there is no placement")


def test_a_script_for_a_placement_that_cannot_be_is_refused() -> None:
    compiled = make_comparison(model="flux1-dev", plans=["bnb-nf4@compiled"], prompt="a fox")
    with pytest.raises(PlanError, match="compiled again for every image"):
        snippet(compiled, compiled.plans[0], CATALOG, DEVICE, placement="staged")
    quanto = make_comparison(model="flux1-dev", plans=["quanto-int8"], prompt="a fox")
    with pytest.raises(PlanError, match="group offload does not work with"):
        snippet(quanto, quanto.plans[0], CATALOG, DEVICE, placement="group-offload")
    with pytest.raises(DoesNotFit):
        place_on(Device(2 * GIB), quanto, quanto.plans[0], CATALOG)
