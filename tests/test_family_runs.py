"""Encoding once and drawing without the encoders gives the picture of the whole pipeline."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from quantlab.families import Family, families, family_of
from quantlab.lab.bench.fidelity import relative_l2
from quantlab.lab.bench.run import encode, forward, generate
from quantlab.lab.load.blocks.pipeline import BlockPipeline, blocks_of
from quantlab.lab.load.processor import load_processor
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan
from tests.device import DEVICE
from tests.twins import twin

SIZE, STEPS, LENGTH = 64, 2, 64
PLAIN = [
    "flux1", "flux1-kontext", "flux2-klein", "z-image", "krea-2", "qwen-image", "chroma",
    "ernie-image", "sdxl", "sd3",
]  # fmt: skip
BLOCKS = {"flux3": "Flux3DistilledModularPipeline", "flux3-base": "Flux3ModularPipeline"}


def asked(guidance: float) -> Comparison:
    values = {
        "prompt": "a fox", "seed": 0, "steps": STEPS, "guidance": guidance, "width": SIZE,
        "height": SIZE, "sequence_length": LENGTH,
    }  # fmt: skip
    return Comparison.of("twin", (Plan(dtype="fp32"),), values)


def scales(family: Family) -> list[float]:
    """A guidance for one pass, and one for two where the family has them."""
    return [3.5] if family.cfg_from is None else [family.cfg_from, family.cfg_from + 2]


def drawn(pipe: Any, family: Family, comparison: Comparison, drop: bool) -> Any:
    """The picture by our path, held against its own first step done again."""
    encoded = encode(pipe, comparison, DEVICE)
    kept = {name: getattr(pipe, name) for name in family.encoders} if drop else {}
    for name in kept:
        setattr(pipe, name, None)
    seen: list[int] = []
    run = generate(pipe, comparison, encoded, DEVICE, on_step=seen.append, stop=threading.Event())
    for name, module in kept.items():
        setattr(pipe, name, module)
    assert (seen, run.finite) == ([1, 2], True)
    again = forward(getattr(pipe, family.denoiser), run.first, torch.float32, DEVICE.target)
    assert relative_l2(again, run.first.output) == 0
    return np.asarray(run.image)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    diffusers.utils.logging.disable_progress_bar()
    yield
    diffusers.utils.logging.enable_progress_bar()


@pytest.mark.parametrize("name", PLAIN)
def test_the_picture_is_that_of_the_pipeline_called_whole(name: str) -> None:
    family = families()[name]
    pipe = diffusers.DiffusionPipeline.from_pretrained(twin(name), dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    calls: list[None] = []
    getattr(pipe, family.denoiser).register_forward_hook(lambda *_: calls.append(None))
    for guidance in scales(family):
        comparison = asked(guidance)
        given = family.arguments(dict(comparison.settings))
        if family.needs_negative and family.guided(guidance, pipe.config):
            given["negative_prompt"] = ""
        noise = torch.Generator().manual_seed(0)
        whole = family.image_of(pipe(prompt="a fox", generator=noise, **given))
        calls.clear()
        assert np.array_equal(drawn(pipe, family, comparison, drop=True), np.asarray(whole))
        apart = family.guided(guidance, pipe.config) and not family.cfg_batched
        assert len(calls) == STEPS * (2 if apart else 1) + 1  # and the first step once more


@pytest.mark.parametrize("upsampled", [True, False])
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_give_the_picture_of_all_blocks_run_at_once(name: str, upsampled: bool) -> None:
    folder = twin(name)
    family = family_of(BLOCKS[name])
    modules = {part: module(folder, part) for part in ("transformer", "vae", "text_encoder")}
    extras = {"tokenizer": load_processor(str(folder / "tokenizer"))}
    if upsampled:
        modules["prompt_upsampler"] = module(folder, "prompt_upsampler")
        extras["prompt_upsampler_processor"] = load_processor(
            str(folder / "prompt_upsampler_processor")
        )
    pipe = BlockPipeline(BLOCKS[name], modules, family.encoders, extras, ("prompt_upsampler",))
    pipe.set_progress_bar_config(disable=True)
    whole = blocks_of(BLOCKS[name], set() if upsampled else {"prompt_upsampler"}).init_pipeline()
    whole.update_components(**modules, **extras)
    for guidance in [1.0, 3.5] if name == "flux3-base" else [0.0]:
        if name == "flux3-base":
            whole.update_components(guider=diffusers.ClassifierFreeGuidance(guidance))
        image = whole(
            prompt="a fox", width=SIZE, height=SIZE, num_inference_steps=STEPS, output="images",
            max_sequence_length=LENGTH, generator=torch.Generator().manual_seed(0),
            **({"max_new_tokens": LENGTH} if upsampled else {}),
        )[0]  # fmt: skip
        ours = drawn(pipe, family, asked(guidance), drop=False)
        assert np.array_equal(ours, np.asarray(image))


def module(folder: Path, part: str) -> Any:
    """A component of a twin, by its own library."""
    import transformers

    classes = {
        "transformer": diffusers.Flux3Transformer2DModel,
        "vae": diffusers.AutoencoderKLFlux2,
        "text_encoder": transformers.Qwen3VLForConditionalGeneration,
        "prompt_upsampler": transformers.Qwen3_5ForConditionalGeneration,
    }
    loaded = classes[part].from_pretrained(folder / part, dtype=torch.float32)
    return loaded.eval()
