"""The twins of Stable Diffusion's families, of Chroma and of Wan: encoders like CLIP and T5;
``width`` is that of all streams."""

from __future__ import annotations

import diffusers
import transformers as tf

from tools.twins import autoencoders, encoders, tokens
from tools.twins.flux import heads
from tools.twins.save import Twin

__all__ = ["chroma", "sd3", "sdxl", "wan"]


def sdxl(width: int = encoders.WIDTH) -> Twin:
    """SDXL, the one with a U-Net."""
    return Twin(
        pipeline="StableDiffusionXLPipeline",
        parts={
            "unet": diffusers.UNet2DConditionModel(
                block_out_channels=(width // 2, width), layers_per_block=1, sample_size=8,
                in_channels=4, out_channels=4, attention_head_dim=(2, 4),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                use_linear_projection=True, addition_embed_type="text_time",
                addition_time_embed_dim=32, transformer_layers_per_block=1, norm_num_groups=16,
                projection_class_embeddings_input_dim=width + 6 * 32,
                cross_attention_dim=2 * width,
            ),
            "text_encoder": encoders.clip(tf.CLIPTextModel, width),
            "text_encoder_2": encoders.clip(tf.CLIPTextModelWithProjection, width),
            "vae": autoencoders.plain(
                4, scaling_factor=0.13025, shift_factor=None, use_quant_conv=True,
                use_post_quant_conv=True,
            ),
            "tokenizer": tokens.clip(),
            "tokenizer_2": tokens.clip(),
            "scheduler": diffusers.EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
            ),
        },
        settings={"force_zeros_for_empty_prompt": True},
    )  # fmt: skip


def sd3(width: int = encoders.WIDTH) -> Twin:
    """Stable Diffusion 3.5, three encoders."""
    return Twin(
        pipeline="StableDiffusion3Pipeline",
        parts={
            "transformer": diffusers.SD3Transformer2DModel(
                sample_size=16, patch_size=2, in_channels=16, out_channels=16, num_layers=2,
                joint_attention_dim=2 * width, caption_projection_dim=width,
                pooled_projection_dim=2 * width, pos_embed_max_size=16,
                qk_norm="rms_norm", dual_attention_layers=(0,), **heads(width),
            ),
            "text_encoder": encoders.clip(tf.CLIPTextModelWithProjection, width),
            "text_encoder_2": encoders.clip(tf.CLIPTextModelWithProjection, width),
            "text_encoder_3": encoders.t5(2 * width),
            "vae": autoencoders.plain(16),
            "tokenizer": tokens.clip(),
            "tokenizer_2": tokens.clip(),
            "tokenizer_3": tokens.t5(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        },
    )  # fmt: skip


def chroma(width: int = encoders.WIDTH) -> Twin:
    """Chroma."""
    return Twin(
        pipeline="ChromaPipeline",
        parts={
            "transformer": diffusers.ChromaTransformer2DModel(
                in_channels=64, num_layers=1, num_single_layers=1, axes_dims_rope=(8, 12, 12),
                joint_attention_dim=width, approximator_hidden_dim=2 * width,
                approximator_layers=1, **heads(width),
            ),
            "text_encoder": encoders.t5(width),
            "vae": autoencoders.plain(16),
            "tokenizer": tokens.t5(),
            "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
        },
    )  # fmt: skip


def wan(width: int = encoders.WIDTH) -> Twin:
    """Wan 2.2 5B: videos, a time for each token."""
    return Twin(
        pipeline="WanPipeline",
        parts={
            "transformer": diffusers.WanTransformer3DModel(
                in_channels=48, out_channels=48, text_dim=width, freq_dim=64, ffn_dim=4 * width,
                num_layers=1, rope_max_seq_len=64, **heads(width),
            ),
            "text_encoder": encoders.umt5(width),
            "vae": autoencoders.wan(),
            "tokenizer": tokens.t5(),
            "scheduler": diffusers.UniPCMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
            ),
        },
        settings={"expand_timesteps": True, "boundary_ratio": None},
    )  # fmt: skip
