"""The twins of Black Forest Labs' families."""

from __future__ import annotations

from functools import partial
from typing import Any

import diffusers
import transformers as tf

from tools.twins import autoencoders, encoders, tokens
from tools.twins.save import Twin

__all__ = ["HEADS", "WIDTH", "flux1", "flux1_kontext", "flux2", "flux2_klein", "flux3"]

WIDTH = 64
"""Of a denoiser's stream."""
HEADS: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 32}
QWEN3_VL = partial(
    tokens.save_processor, processor="Qwen3VLProcessor",
    image_processor={"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 16},
    video_processor={"video_processor_type": "Qwen3VLVideoProcessor", "patch_size": 16},
)  # fmt: skip
AUTO = ("transformers", "AutoProcessor")


def flux1() -> Twin:
    """FLUX.1-dev."""
    return _flux1("FluxPipeline")


def flux1_kontext() -> Twin:
    """FLUX.1-Kontext: the same parts, another way to run them."""
    return _flux1("FluxKontextPipeline")


def _flux1(pipeline: str) -> Twin:
    return Twin(
        pipeline=pipeline,
        parts={
            "transformer": diffusers.FluxTransformer2DModel(
                in_channels=64, num_layers=1, num_single_layers=1, guidance_embeds=True,
                joint_attention_dim=encoders.WIDTH, pooled_projection_dim=encoders.WIDTH,
                axes_dims_rope=(8, 12, 12), **HEADS,
            ),
            "text_encoder": encoders.clip(tf.CLIPTextModel),
            "text_encoder_2": encoders.t5(),
            "vae": autoencoders.plain(16),
            "tokenizer": tokens.clip(),
            "tokenizer_2": tokens.t5(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        },
    )  # fmt: skip


def flux2() -> Twin:
    """FLUX.2-dev; the pipeline reads layers 10, 20 and 30 of its text encoder."""
    processor = partial(
        tokens.save_processor, processor="PixtralProcessor", patch_size=16, spatial_merge_size=2,
        image_processor={"image_processor_type": "PixtralImageProcessor", "patch_size": 16},
    )  # fmt: skip
    return Twin(
        pipeline="Flux2Pipeline",
        parts={
            "transformer": _flux2_transformer(guidance_embeds=True),
            "text_encoder": encoders.mistral3(tf.Mistral3ForConditionalGeneration, 31, "mistral"),
            "vae": autoencoders.flux2(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        },
        processors={"tokenizer": processor},
        hints={"tokenizer": ("transformers", "PixtralProcessor")},
    )


def flux2_klein() -> Twin:
    """FLUX.2-klein, distilled; the pipeline reads layers 9, 18 and 27 of its text encoder."""
    return Twin(
        pipeline="Flux2KleinPipeline",
        parts={
            "transformer": _flux2_transformer(guidance_embeds=False),
            "text_encoder": encoders.qwen3(tf.Qwen3ForCausalLM, layers=28),
            "vae": autoencoders.flux2(),
            "tokenizer": tokens.chat(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        },
        settings={"is_distilled": True},
    )


def _flux2_transformer(*, guidance_embeds: bool) -> diffusers.Flux2Transformer2DModel:
    return diffusers.Flux2Transformer2DModel(
        in_channels=128, num_layers=1, num_single_layers=1, axes_dims_rope=(8, 8, 8, 8),
        joint_attention_dim=3 * encoders.WIDTH, guidance_embeds=guidance_embeds, **HEADS,
    )  # fmt: skip


def flux3(*, distilled: bool = True) -> Twin:
    """FLUX.3; as in the real one, the last layers of its text encoder are never read."""
    return Twin(
        pipeline="Flux3DistilledModularPipeline" if distilled else "Flux3ModularPipeline",
        parts={
            "transformer": diffusers.Flux3Transformer2DModel(
                num_layers=1, num_single_layers=1, joint_attention_dim=8 * encoders.WIDTH,
                axes_dims_rope=(8, 8, 8, 8), flow_map=distilled, **HEADS,
            ),
            "text_encoder": encoders.qwen3_vl(tf.Qwen3VLForConditionalGeneration, layers=34),
            "vae": autoencoders.flux2(),
            "prompt_upsampler": encoders.qwen3_5(),
        },
        processors={"tokenizer": QWEN3_VL, "prompt_upsampler_processor": QWEN3_VL},
        hints={"tokenizer": AUTO, "prompt_upsampler_processor": AUTO},
    )  # fmt: skip
