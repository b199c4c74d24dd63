"""FLUX.2's pipeline goes the same way as FLUX.1's: the real classes, made small, random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.sizes.shapes import config_of
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.run import encode
from tests.device import DEVICE

CATALOG = load_catalog()
KLEIN = CATALOG.models["flux2-klein-4b"]
WIDTH = 16
LAYERS = 28
"""The pipeline reads the hidden states of layers 9, 18 and 27."""


def config(name: str, **smaller: Any) -> dict[str, Any]:
    """A component's config as the catalogue has it, with some sizes made smaller."""
    known = KLEIN.component(name)
    assert known is not None
    full = dict(config_of(known.shapes))
    assert set(smaller) <= set(full)
    return {
        key: value
        for key, value in (full | smaller).items()
        if key not in ("_class_name", "architectures")
    }


def small_pipeline() -> Flux2KleinPipeline:
    torch.manual_seed(0)
    words = {"<unk>": 0, "<pad>": 1, "a": 2, "fox": 3}
    tokens = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens, unk_token="<unk>", pad_token="<pad>"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    encoder = config(
        "text_encoder", hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=LAYERS,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, vocab_size=len(words),
    )  # fmt: skip
    transformer = config(
        "transformer", attention_head_dim=16, num_attention_heads=2, num_layers=1,
        num_single_layers=2, axes_dims_rope=[4, 4, 4, 4], in_channels=32,
        joint_attention_dim=3 * WIDTH,
    )  # fmt: skip
    vae = config("vae", block_out_channels=[32, 32, 32, 32], latent_channels=8, layers_per_block=1)
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKLFlux2(**vae),
        text_encoder=Qwen3ForCausalLM(Qwen3Config(**encoder)),
        tokenizer=tokenizer,
        transformer=Flux2Transformer2DModel(**transformer),
        is_distilled=True,
    )


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("flux2")
    small_pipeline().save_pretrained(folder)
    known = replace(KLEIN, local=True, source=str(folder))
    return replace(CATALOG, models={**CATALOG.models, KLEIN.id: known})


def test_a_comparison_of_flux2_runs_and_is_scored(catalog: Catalog, tmp_path: Path) -> None:
    # The prediction is of the full size, which this machine need not hold.
    large = replace(DEVICE, host_free_bytes=lambda: 2**40)
    comparison = make_comparison(
        model=KLEIN.id, plans=["fp32", "bf16", "torchao-int8wo"], prompt="a fox", steps=2,
        width=256, height=256, sequence_length=16, catalog=catalog,
    )  # fmt: skip
    bench = Bench(catalog, large)
    outcomes = compare(comparison, bench=bench, out=tmp_path, warmup=0)
    assert [o.error for o in outcomes] == [None, None, None]
    full, half, quantized = outcomes
    assert np.asarray(Image.open(full.image or "")).shape == (256, 256, 3)
    assert quantized.way == "PipelineQuantizationConfig"
    assert quantized.weights_bytes["transformer"] < 0.7 * half.weights_bytes["transformer"]
    assert 0 < (half.transformer_rel_l2 or 0) < 0.1
    assert 0 < (quantized.transformer_rel_l2 or 0) < 0.1


def test_what_the_pipeline_is_set_to_survives_the_loading(catalog: Catalog) -> None:
    """A distilled pipeline that forgot it is one would run guided, twice as long."""
    comparison = make_comparison(
        model=KLEIN.id, plans=["fp32"], prompt="a fox", guidance=4.0, sequence_length=16,
        catalog=catalog,
    )  # fmt: skip
    pool = Bench(catalog, DEVICE).pool
    pipe = pool.load(catalog.models[KLEIN.id], comparison.plans[0], lambda _: None).pipe
    assert pipe.config.is_distilled is True
    assert set(encode(pipe, comparison, DEVICE).inputs) == {"prompt_embeds"}
    pipe.register_to_config(is_distilled=False)
    found = encode(pipe, comparison, DEVICE).inputs
    assert set(found) == {"prompt_embeds", "negative_prompt_embeds"}
    assert found["prompt_embeds"].shape == (1, 16, 3 * WIDTH)
    assert (found["prompt_embeds"] != found["negative_prompt_embeds"]).any()
