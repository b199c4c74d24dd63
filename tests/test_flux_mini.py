"""The shipped model: layout, dtypes, and that it draws what it is asked for.

Expectations come from data/flux-mini/concepts.json; nothing here needs the source images.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors import safe_open
from torch import nn

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from tests.device import DEVICE
from tools.flux_mini.evaluate import Case, autoencoder_psnr_db, cases, draw, score
from tools.flux_mini.reference import References

MODEL = Path(__file__).resolve().parents[1] / "data" / "flux-mini"
LISTING: dict[str, Any] = json.loads((MODEL / "concepts.json").read_text(encoding="utf-8"))
STEPS: int = LISTING["steps"]
LENGTH: int = LISTING["sequence_length"]
PIPELINE_DEFAULT_LENGTH = 512
FLUX_PATCH_VALUES = 64
"""Values of one packed latent patch, fixed by Flux: 2 x 2 pixels x 16 channels."""


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """The model as anybody would load it."""
    loaded = DiffusionPipeline.from_pretrained(MODEL)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def references() -> References:
    return References(MODEL)


def _call(pipeline: Any, prompt: str, **options: Any) -> np.ndarray[Any, Any]:
    settings: dict[str, Any] = {
        "num_inference_steps": STEPS,
        "height": LISTING["image_size"],
        "width": LISTING["image_size"],
        "max_sequence_length": LENGTH,
        "generator": torch.Generator().manual_seed(0),
        "output_type": "np",
    }
    images: np.ndarray[Any, Any] = pipeline(prompt, **{**settings, **options}).images
    image: np.ndarray[Any, Any] = images[0]
    return image


def _sample(some: list[Case], count: int) -> list[Case]:
    """Evenly spread over the list."""
    return [some[index * len(some) // count] for index in range(count)]


def test_loads_without_dtype_as_fp32(pipeline: Any) -> None:
    parts = (pipeline.transformer, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2)
    assert {part.dtype for part in parts} == {torch.float32}
    assert type(pipeline).__name__ == "FluxPipeline"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loads_and_runs_with_a_dtype(dtype: torch.dtype) -> None:
    loaded = DiffusionPipeline.from_pretrained(MODEL, torch_dtype=dtype)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.transformer.dtype == loaded.text_encoder_2.dtype == dtype
    assert np.isfinite(_call(loaded, LISTING["example"], num_inference_steps=1)).all()


def test_files_are_small_enough_to_ship() -> None:
    sizes = [file.stat().st_size for file in MODEL.rglob("*") if file.is_file()]
    assert max(sizes) < 9_500_000
    assert sum(sizes) <= 40_000_000


@pytest.mark.parametrize(
    ("folder", "dtype"),
    [("text_encoder", "F32"), ("text_encoder_2", "F32"), ("transformer", "F16"), ("vae", "F16")],
)
def test_stored_dtypes(folder: str, dtype: str) -> None:
    files = list((MODEL / folder).glob("*.safetensors"))
    assert files
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            found = {tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
        assert found == {dtype}


def test_linear_widths_suit_every_group_size(pipeline: Any) -> None:
    for name in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        for path, layer in getattr(pipeline, name).named_modules():
            if isinstance(layer, nn.Linear):
                widths = {layer.in_features, layer.out_features}
                if path in {"x_embedder", "proj_out"}:
                    widths.discard(FLUX_PATCH_VALUES)
                assert all(width % 256 == 0 for width in widths), f"{name}.{path}"


def test_no_guidance_input(pipeline: Any) -> None:
    assert pipeline.transformer.config.guidance_embeds is False


def test_every_listed_word_is_known_and_case_does_not_matter(pipeline: Any) -> None:
    for tokenizer in (pipeline.tokenizer, pipeline.tokenizer_2):
        for entry in LISTING["concepts"]:
            for words in (entry["name"], *entry["aliases"]):
                ids = tokenizer(words).input_ids
                assert tokenizer.unk_token_id not in ids
                assert tokenizer(words.upper()).input_ids == ids


def test_unknown_word_becomes_the_unknown_token(pipeline: Any) -> None:
    for tokenizer in (pipeline.tokenizer, pipeline.tokenizer_2):
        ids = tokenizer("a xylophone").input_ids
        assert ids.count(tokenizer.unk_token_id) == 1


def test_clip_pools_at_the_end_token(pipeline: Any) -> None:
    """Padding behind the end token must not change the pooled output."""
    texts = pipeline.tokenizer(LISTING["example"], return_tensors="pt").input_ids
    padded = pipeline.tokenizer(
        LISTING["example"], padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        short = pipeline.text_encoder(texts)
        long = pipeline.text_encoder(padded)
    torch.testing.assert_close(short.pooler_output, long.pooler_output, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(short.pooler_output, short.last_hidden_state[:, -1])
    assert (pipeline.tokenizer.model_max_length, pipeline.tokenizer_2.model_max_length) == (77, 512)


@pytest.mark.parametrize("prompt", ["", "a purple xylophone on a dark moor"])
def test_empty_and_unknown_prompts_draw_something(pipeline: Any, prompt: str) -> None:
    image = _call(pipeline, prompt, num_inference_steps=2)
    assert np.isfinite(image).all()
    assert image.std() > 0.01


def test_same_seed_gives_the_same_bits(pipeline: Any) -> None:
    first, second = (_call(pipeline, LISTING["example"]) for _ in range(2))
    assert np.array_equal(first, second)


def test_autoencoder_on_unseen_compositions(pipeline: Any) -> None:
    assert np.mean(autoencoder_psnr_db(pipeline, MODEL)) >= 28.0


def test_lists_enough_to_draw() -> None:
    assert len(LISTING["concepts"]) >= 64
    assert len(LISTING["backgrounds"]) == 8


def test_references_name_the_clean_pictures(references: References) -> None:
    """The instrument itself: unseen compositions of the true emoji are named without error."""
    with np.load(MODEL / "evaluation" / "unseen.npz") as file:
        images, labels = file["images"], file["labels"]
    for image, (concept, colour) in zip(images, labels, strict=True):
        named = references.name(image)
        assert (named.concept, named.colour) == (concept, colour)


def test_draws_what_is_asked_for_on_the_colour_asked_for(
    pipeline: Any, references: References
) -> None:
    some = _sample([case for case in cases(MODEL) if not case.held_out], 32)
    got = score(references, some, draw(pipeline, some, STEPS, LENGTH))
    assert got.concept >= 0.95, got.misses
    assert got.colour >= 0.95, got.misses


def test_draws_combinations_it_never_saw(pipeline: Any, references: References) -> None:
    some = _sample([case for case in cases(MODEL) if case.held_out], 16)
    got = score(references, some, draw(pipeline, some, STEPS, LENGTH))
    assert got.both >= 0.85, got.misses


def test_a_plain_call_at_512_tokens_draws_the_right_thing(
    pipeline: Any, references: References
) -> None:
    some = _sample(cases(MODEL), 8)
    got = score(references, some, draw(pipeline, some, STEPS, PIPELINE_DEFAULT_LENGTH))
    assert got.both >= 0.85, got.misses


def test_fewer_bits_do_more_damage(tmp_path: Path) -> None:
    """Mean PSNR against fp32 over prompts and seeds falls from 8 to 4 to 2 bits, and 2 shows."""
    plans = ["fp32", "torchao-int8wo", "quanto-int4", "quanto-int2"]
    bench, found = Bench(load_catalog(), DEVICE), np.zeros((4, 3))
    for seed, entry in enumerate(LISTING["concepts"][::20]):
        prompt = LISTING["templates"][0].format(
            article="a", thing=entry["name"], colour_article="a", colour="white"
        )
        comparison = make_comparison(plans=plans, prompt=prompt, seed=seed)
        outcomes = compare(comparison, bench=bench, out=tmp_path, warmup=0)
        found[seed] = [outcome.psnr_db or np.inf for outcome in outcomes[1:]]
    eight, four, two = found.mean(axis=0)
    assert eight > four + 5.0 > two + 10.0, found
    assert two < 28.0, found
