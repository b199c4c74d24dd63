"""Architecture of flux-mini: real Flux classes at width 256.

Every Linear has input and output widths that are multiples of 256, so that any quantization
block or group fits, save for the 64 values of a packed latent patch, which Flux's own layout
fixes (x_embedder in, proj_out out). The autoencoder leaves out the attention of its middle
block: it would be the only Linear there, and too narrow for that rule.
"""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from tools.flux_mini.concepts import vocabulary
from tools.flux_mini.words import (
    CLIP_LENGTH,
    SPECIAL_TOKENS,
    T5_LENGTH,
    clip_tokenizer,
    t5_tokenizer,
)

__all__ = [
    "IMAGE_SIZE",
    "LATENT_CHANNELS",
    "SEQUENCE_LENGTH",
    "STEPS",
    "assemble",
    "autoencoder",
    "clip_encoder",
    "gaussian_",
    "relative_positions",
    "scheduler",
    "t5_encoder",
    "transformer",
]

IMAGE_SIZE = 128
"""Width and height in pixels."""
LATENT_CHANNELS = 16
SEQUENCE_LENGTH = 32
"""T5 tokens of the model's own setting."""
STEPS = 8
"""Sampling steps of the model's own setting."""
WIDTH = 256


def gaussian_(module: nn.Module, seed: int, modulation: float = 1.0) -> None:
    """Draw every Linear weight from a normal distribution, in place; biases become zero.

    The standard deviation is 1/sqrt(3 * inputs), that of nn.Linear's own uniform draw. Uniform
    weights would turn round the order of the 4-bit schemes; trained weights look normal.
    `modulation` scales the adaptive-norm layers and the output layer: a small value starts
    every block close to the identity, which trains faster.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, layer in module.named_modules():
        if not isinstance(layer, nn.Linear):
            continue
        adaptive = "norm" in name or name == "proj_out"
        deviation = (3 * layer.in_features) ** -0.5 * (modulation if adaptive else 1.0)
        nn.init.normal_(layer.weight, std=deviation, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def transformer() -> FluxTransformer2DModel:
    """Two double and four single blocks of width 256; about 9.3 million parameters."""
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=64,
        num_attention_heads=4,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        # No guidance input: its value is cast to the compute dtype before it is multiplied by
        # 1000, so the same scale would mean different things in fp32 and bf16.
        guidance_embeds=False,
        axes_dims_rope=(16, 24, 24),
    )


def autoencoder(scaling_factor: float = 1.0, shift_factor: float = 0.0) -> AutoencoderKL:
    """8x autoencoder with 16 latent channels; decode takes latents / scaling + shift."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=IMAGE_SIZE,
        scaling_factor=scaling_factor,
        shift_factor=shift_factor,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        force_upcast=False,
    )


def t5_encoder() -> T5EncoderModel:
    """Two-layer T5 encoder of width 256.

    Its relative positions are exact up to 64 tokens, and start large: from them a state learns
    which place it has, also among padding (meaning.py).
    """
    encoder = T5EncoderModel(
        T5Config(
            vocab_size=len(vocabulary()) + len(SPECIAL_TOKENS),
            d_model=WIDTH,
            d_ff=2 * WIDTH,
            d_kv=64,
            num_heads=4,
            num_layers=2,
            relative_attention_num_buckets=256,
            relative_attention_max_distance=T5_LENGTH,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=SPECIAL_TOKENS["<pad>"],
            eos_token_id=SPECIAL_TOKENS["</s>"],
            is_encoder_decoder=False,
            use_cache=False,
        )
    )
    nn.init.normal_(relative_positions(encoder), std=2.0)
    return encoder


def relative_positions(encoder: T5EncoderModel) -> nn.Parameter:
    """The encoder's table of attention biases, (buckets, heads)."""
    attention = encoder.encoder.block[0].layer[0].SelfAttention
    table: nn.Parameter = attention.relative_attention_bias.weight
    return table


def clip_encoder() -> CLIPTextModel:
    """Two-layer CLIP text encoder of width 256, pooled at the end token."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary()) + len(SPECIAL_TOKENS),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CLIP_LENGTH,
            pad_token_id=SPECIAL_TOKENS["<pad>"],
            bos_token_id=SPECIAL_TOKENS["<s>"],
            eos_token_id=SPECIAL_TOKENS["</s>"],
        )
    )


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Euler steps at evenly spaced times (no shift)."""
    return FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False)


def assemble(
    transformer: FluxTransformer2DModel,
    text_encoder: CLIPTextModel,
    text_encoder_2: T5EncoderModel,
    vae: AutoencoderKL,
) -> FluxPipeline:
    """Pipeline of these models with the tokenizers and the scheduler."""
    return FluxPipeline(
        scheduler=scheduler(),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=clip_tokenizer(),
        text_encoder_2=text_encoder_2,
        tokenizer_2=t5_tokenizer(),
        transformer=transformer,
    )
