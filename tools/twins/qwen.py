"""The twins of the families around Qwen-Image, and of those that are built alike; ``width`` is that
of all streams."""

from __future__ import annotations

from functools import partial

import diffusers
import transformers as tf

from tools.twins import autoencoders, encoders, tokens
from tools.twins.flux import QWEN3_VL, heads
from tools.twins.save import Twin

__all__ = ["ernie_image", "krea_2", "qwen_image", "qwen_image_21", "qwen_image_edit", "z_image"]

ROPE = (8, 12, 12)
TAPS = tuple(range(2, 36, 3))
"""The twelve layers that Krea 2 reads, as in the real one; its projector so has its 12 inputs."""


def qwen_image(width: int = encoders.WIDTH) -> Twin:
    """Qwen-Image."""
    return Twin(
        pipeline="QwenImagePipeline",
        parts={
            "transformer": _qwen_transformer(width, zero_cond_t=False),
            "text_encoder": encoders.qwen2_5_vl(width),
            "vae": autoencoders.qwen(),
            "tokenizer": tokens.chat(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        },
    )


def qwen_image_edit(width: int = encoders.WIDTH) -> Twin:
    """Qwen-Image-Edit-2511, whose text encoder sees the reference pictures too."""
    processor = partial(
        tokens.save_processor, processor="Qwen2VLProcessor",
        image_processor={"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 16},
        video_processor={"video_processor_type": "Qwen2VLVideoProcessor", "patch_size": 16},
    )  # fmt: skip
    return Twin(
        pipeline="QwenImageEditPlusPipeline",
        parts={
            **qwen_image(width).parts,
            "transformer": _qwen_transformer(width, zero_cond_t=True),
        },
        processors={"processor": processor},
        hints={"processor": ("transformers", "Qwen2VLProcessor")},
    )


def _qwen_transformer(width: int, *, zero_cond_t: bool) -> diffusers.QwenImageTransformer2DModel:
    return diffusers.QwenImageTransformer2DModel(
        in_channels=64, out_channels=16, num_layers=1, joint_attention_dim=width,
        axes_dims_rope=ROPE, zero_cond_t=zero_cond_t, **heads(width),
    )  # fmt: skip


def qwen_image_21(width: int = encoders.WIDTH) -> Twin:
    """Qwen-Image 2.1."""
    return Twin(
        pipeline="QwenImage21Pipeline",
        parts={
            "transformer": diffusers.QwenImage21Transformer2DModel(
                in_channels=64, out_channels=64, num_layers=2, context_in_dim=width,
                axes_dims_rope=ROPE, mlp_ratio=4, **heads(width),
            ),
            "text_encoder": encoders.qwen3_vl(
                tf.Qwen3VLForConditionalGeneration, 2, width, tied=False
            ),
            "vae": autoencoders.qwen21(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        },
        processors={"processor": QWEN3_VL},
        hints={"processor": ("transformers", "Qwen3VLProcessor")},
    )  # fmt: skip


def krea_2(width: int = encoders.WIDTH) -> Twin:
    """Krea 2, distilled."""
    return Twin(
        pipeline="Krea2Pipeline",
        parts={
            "transformer": diffusers.Krea2Transformer2DModel(
                in_channels=64, num_layers=2, num_key_value_heads=width // 64,
                intermediate_size=4 * width, timestep_embed_dim=64, text_hidden_dim=width,
                num_text_layers=len(TAPS), text_num_attention_heads=1,
                text_num_key_value_heads=1, text_intermediate_size=width,
                num_layerwise_text_blocks=1, num_refiner_text_blocks=1, axes_dims_rope=ROPE,
                **heads(width),
            ),
            "text_encoder": encoders.qwen3_vl(tf.Qwen3VLModel, 36, width),
            "vae": autoencoders.qwen(),
            "tokenizer": tokens.chat(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        },
        settings={"is_distilled": True, "patch_size": 2, "text_encoder_select_layers": TAPS},
    )  # fmt: skip


def z_image(width: int = encoders.WIDTH) -> Twin:
    """Z-Image; three times as wide, since its MLPs are 8/3 of that."""
    return Twin(
        pipeline="ZImagePipeline",
        parts={
            "transformer": diffusers.ZImageTransformer2DModel(
                in_channels=16, dim=3 * width, n_layers=1, n_refiner_layers=1,
                n_heads=3 * width // 32, n_kv_heads=3 * width // 32,
                cap_feat_dim=width, axes_dims=list(ROPE), axes_lens=[1024, 64, 64],
            ),
            "text_encoder": encoders.qwen3(tf.Qwen3Model, 3, width),
            "vae": autoencoders.plain(16),
            "tokenizer": tokens.chat(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        },
    )  # fmt: skip


def ernie_image(width: int = encoders.WIDTH) -> Twin:
    """ERNIE-Image with its prompt enhancer, which writes as much as its tokenizer holds."""
    return Twin(
        pipeline="ErnieImagePipeline",
        parts={
            "transformer": diffusers.ErnieImageTransformer2DModel(
                hidden_size=2 * width, num_attention_heads=width // 16, num_layers=2,
                ffn_hidden_size=4 * width, in_channels=128, out_channels=128, text_in_dim=width,
                rope_axes_dim=ROPE,
            ),
            "text_encoder": encoders.mistral3(tf.Mistral3Model, 3, "ministral3", width),
            "vae": autoencoders.flux2(),
            "pe": encoders.ministral(width),
            "tokenizer": tokens.chat(),
            "pe_tokenizer": tokens.chat(length=16),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        },
    )  # fmt: skip
