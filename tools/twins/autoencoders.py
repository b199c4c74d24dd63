"""Tiny autoencoders: the real classes with few channels, and latents as the real ones have them."""

from __future__ import annotations

from typing import Any

import diffusers

__all__ = ["flux2", "plain", "qwen", "qwen21", "wan"]


def flux2() -> diffusers.AutoencoderKLFlux2:
    """Of FLUX.2, FLUX.3 and ERNIE-Image: 8 times smaller, 32 channels, packed 2 x 2."""
    return diffusers.AutoencoderKLFlux2(
        block_out_channels=(16, 16, 16, 16), layers_per_block=1, latent_channels=32,
        norm_num_groups=8,
    )  # fmt: skip


def plain(channels: int, **settings: Any) -> diffusers.AutoencoderKL:
    """Of FLUX.1 and Stable Diffusion: 8 times smaller, with so many latent channels."""
    given = {"scaling_factor": 0.3611, "shift_factor": 0.1159, "use_quant_conv": False}
    return diffusers.AutoencoderKL(
        block_out_channels=(16, 16, 16, 16), layers_per_block=1, latent_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=8, sample_size=64, force_upcast=False,
        **{**given, "use_post_quant_conv": False, **settings},
    )  # fmt: skip


def qwen() -> diffusers.AutoencoderKLQwenImage:
    """Of Qwen-Image and Krea 2: 8 times smaller, 16 channels, made for videos."""
    return diffusers.AutoencoderKLQwenImage(
        base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )  # fmt: skip


def qwen21() -> diffusers.AutoencoderKLQwenImage21:
    """Of Qwen-Image 2.1: 16 times smaller, 64 channels, with transparency."""
    return diffusers.AutoencoderKLQwenImage21(
        base_dim=8, decoder_base_dim=8, z_dim=64, dim_mult=[1, 1, 1, 1, 1], num_res_blocks=1,
    )  # fmt: skip


def wan() -> diffusers.AutoencoderKLWan:
    """Of Wan 2.2 5B: 16 times smaller, 4 times fewer frames, 48 channels, its pixels in 2 x 2."""
    return diffusers.AutoencoderKLWan(
        base_dim=8, decoder_base_dim=8, z_dim=48, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        is_residual=True, in_channels=12, out_channels=12, patch_size=2,
        scale_factor_spatial=16, scale_factor_temporal=4,
        latents_mean=[0.0] * 48, latents_std=[1.0] * 48,
    )  # fmt: skip
