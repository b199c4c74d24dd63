"""The twins of Black Forest Labs' families; ``width`` is that of all streams."""

from __future__ import annotations

from functools import partial
from typing import Any

import diffusers
import transformers as tf

from tools.twins import autoencoders, encoders, tokens
from tools.twins.save import Twin

__all__ = ["QWEN3_VL", "flux1", "flux1_kontext", "flux2", "flux2_klein", "flux3", "heads"]

QWEN3_VL = partial(
    tokens.save_processor, processor="Qwen3VLProcessor",
    image_processor={
        "image_processor_type": "Qwen2VLImageProcessor", "patch_size": 16,
        "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216},  # as Qwen publishes it
    },
    video_processor={"video_processor_type": "Qwen3VLVideoProcessor", "patch_size": 16},
)  # fmt: skip
AUTO = ("transformers", "AutoProcessor")


def heads(width: int) -> dict[str, Any]:
    """Of a denoiser whose stream is ``width`` wide."""
    return {"num_attention_heads": width // 32, "attention_head_dim": 32}


def flux1(width: int = encoders.WIDTH) -> Twin:
    """FLUX.1-dev."""
    return _flux1("FluxPipeline", width)


def flux1_kontext(width: int = encoders.WIDTH) -> Twin:
    """FLUX.1-Kontext: the same parts, another way to run them."""
    return _flux1("FluxKontextPipeline", width)


def _flux1(pipeline: str, width: int) -> Twin:
    return Twin(
        pipeline=pipeline,
        parts={
            "transformer": diffusers.FluxTransformer2DModel(
                in_channels=64, num_layers=1, num_single_layers=1, guidance_embeds=True,
                joint_attention_dim=width, pooled_projection_dim=width,
                axes_dims_rope=(8, 12, 12), **heads(width),
            ),
            "text_encoder": encoders.clip(tf.CLIPTextModel, width),
            "text_encoder_2": encoders.t5(width),
            "vae": autoencoders.plain(16),
            "tokenizer": tokens.clip(),
            "tokenizer_2": tokens.t5(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        },
    )  # fmt: skip


def flux2(width: int = encoders.WIDTH) -> Twin:
    """FLUX.2-dev; the pipeline reads layers 10, 20 and 30 of its text encoder."""
    processor = partial(
        tokens.save_processor, processor="PixtralProcessor", patch_size=16, spatial_merge_size=2,
        image_processor={"image_processor_type": "PixtralImageProcessor", "patch_size": 16},
    )  # fmt: skip
    return Twin(
        pipeline="Flux2Pipeline",
        parts={
            "transformer": _flux2_transformer(width, guidance_embeds=True),
            "text_encoder": encoders.mistral3(
                tf.Mistral3ForConditionalGeneration, 31, "mistral", width
            ),
            "vae": autoencoders.flux2(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        },
        processors={"tokenizer": processor},
        hints={"tokenizer": ("transformers", "PixtralProcessor")},
    )


def flux2_klein(width: int = encoders.WIDTH) -> Twin:
    """FLUX.2-klein, distilled; the pipeline reads layers 9, 18 and 27 of its text encoder."""
    return Twin(
        pipeline="Flux2KleinPipeline",
        parts={
            "transformer": _flux2_transformer(width, guidance_embeds=False),
            "text_encoder": encoders.qwen3(tf.Qwen3ForCausalLM, 28, width),
            "vae": autoencoders.flux2(),
            "tokenizer": tokens.chat(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        },
        settings={"is_distilled": True},
    )


def _flux2_transformer(width: int, *, guidance_embeds: bool) -> diffusers.Flux2Transformer2DModel:
    return diffusers.Flux2Transformer2DModel(
        in_channels=128, num_layers=1, num_single_layers=1, axes_dims_rope=(8, 8, 8, 8),
        joint_attention_dim=3 * width, guidance_embeds=guidance_embeds, **heads(width),
    )  # fmt: skip


def flux3(width: int = encoders.WIDTH, *, distilled: bool = True) -> Twin:
    """FLUX.3; as in the real one, the last layers of its text encoder are never read."""
    return Twin(
        pipeline="Flux3DistilledModularPipeline" if distilled else "Flux3ModularPipeline",
        parts={
            "transformer": diffusers.Flux3Transformer2DModel(
                num_layers=1, num_single_layers=1, joint_attention_dim=8 * width,
                axes_dims_rope=(8, 8, 8, 8), flow_map=distilled, **heads(width),
            ),
            "text_encoder": encoders.qwen3_vl(tf.Qwen3VLForConditionalGeneration, 34, width),
            "vae": autoencoders.flux2(),
            "prompt_upsampler": encoders.qwen3_5(width),
        },
        processors={"tokenizer": QWEN3_VL, "prompt_upsampler_processor": QWEN3_VL},
        hints={"tokenizer": AUTO, "prompt_upsampler_processor": AUTO},
    )  # fmt: skip
