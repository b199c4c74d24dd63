"""Tiny text encoders: the real classes, with as many layers as the pipelines read.

``width`` is that of their stream, a multiple of 64. Every Linear layer has that many inputs or a
multiple, and outputs are a multiple of 32.
"""

from __future__ import annotations

from typing import Any

import transformers as tf

from tools.twins import tokens

__all__ = [
    "WIDTH", "clip", "ministral", "mistral3", "qwen2_5_vl", "qwen3", "qwen3_5", "qwen3_vl", "t5",
    "umt5",
]  # fmt: skip

WIDTH = 64
"""Of a twin's streams, where nothing else is asked for."""
HEAD = 16


def _small(width: int) -> dict[str, Any]:
    return {
        "hidden_size": width, "intermediate_size": width, "num_attention_heads": width // HEAD,
        "num_key_value_heads": width // HEAD // 2, "head_dim": HEAD, "vocab_size": tokens.SIZE,
        "max_position_embeddings": 4096,
    }  # fmt: skip


def _eyes(width: int) -> dict[str, Any]:
    return {
        "depth": 1, "hidden_size": width, "intermediate_size": width, "num_heads": width // HEAD,
        "patch_size": 16, "out_hidden_size": width,
    }  # fmt: skip


def _t5(width: int) -> dict[str, Any]:
    return {
        "d_model": width, "d_ff": width, "d_kv": HEAD, "num_layers": 2, "num_heads": width // HEAD,
        "vocab_size": tokens.SIZE, "feed_forward_proj": "gated-gelu",
    }  # fmt: skip


def _special() -> dict[str, int]:
    """The ids of the tokens that stand for pictures."""
    known = tokens.chat()
    names = {
        "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
    }  # fmt: skip
    return {key: known.convert_tokens_to_ids(token) for key, token in names.items()}


def _text(layers: int, width: int, **settings: Any) -> dict[str, Any]:
    ends = {"eos_token_id": tokens.chat().eos_token_id, "pad_token_id": tokens.chat().pad_token_id}
    small = {**_small(width), "num_hidden_layers": layers, "bos_token_id": None}
    return {**small, **ends, **settings}


def qwen3(cls: Any, layers: int, width: int = WIDTH) -> Any:
    """Qwen3 with tied embeddings, as ``cls``."""
    return cls(tf.Qwen3Config(**_text(layers, width, tie_word_embeddings=True)))


def qwen3_vl(cls: Any, layers: int, width: int = WIDTH, *, tied: bool = True) -> Any:
    """Qwen3-VL, of which the 4B has tied embeddings and the 8B has not, as ``cls``."""
    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 5e6}
    config = tf.Qwen3VLConfig(
        text_config=_text(layers, width, rope_parameters=rope, tie_word_embeddings=tied),
        vision_config={
            **_eyes(width), "deepstack_visual_indexes": [0], "num_position_embeddings": 16,
        },
        tie_word_embeddings=tied, **_special(),
    )  # fmt: skip
    return cls(config)


def qwen2_5_vl(width: int = WIDTH) -> tf.Qwen2_5_VLForConditionalGeneration:
    """Qwen2.5-VL, two layers."""
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6}
    config = tf.Qwen2_5_VLConfig(
        text_config=_text(2, width, rope_parameters=rope),
        vision_config={**_eyes(width), "fullatt_block_indexes": [0], "window_size": 64},
        **_special(),
    )  # fmt: skip
    return tf.Qwen2_5_VLForConditionalGeneration(config)


def qwen3_5(width: int = WIDTH) -> tf.Qwen3_5ForConditionalGeneration:
    """Qwen3.5, one layer of linear attention and one of full: FLUX.3's prompt upsampler."""
    linear = {
        "linear_key_head_dim": HEAD, "linear_value_head_dim": HEAD,
        "linear_num_key_heads": width // HEAD, "linear_num_value_heads": width // 2,
        "linear_conv_kernel_dim": 4,
    }  # fmt: skip
    config = tf.Qwen3_5Config(
        text_config=_text(2, width, layer_types=["linear_attention", "full_attention"], **linear),
        vision_config={**_eyes(width), "num_position_embeddings": 16}, **_special(),
    )  # fmt: skip
    return tf.Qwen3_5ForConditionalGeneration(config)


def mistral3(cls: Any, layers: int, kind: str, width: int = WIDTH) -> Any:
    """Mistral's language model with eyes, as ``cls``; ``kind`` is "mistral" or "ministral3"."""
    config = tf.Mistral3Config(
        text_config={"model_type": kind, **_text(layers, width)},
        vision_config={
            "model_type": "pixtral", "hidden_size": width, "intermediate_size": width,
            "image_size": 64, "num_hidden_layers": 1, "num_attention_heads": width // HEAD,
            "head_dim": HEAD, "patch_size": 16,
        },
        image_token_id=tokens.chat().convert_tokens_to_ids("[IMG]"), tie_word_embeddings=False,
    )  # fmt: skip
    return cls(config)


def ministral(width: int = WIDTH) -> tf.Ministral3ForCausalLM:
    """Ministral 3, two layers: ERNIE-Image's prompt enhancer."""
    config = tf.Ministral3Config(**_text(2, width, tie_word_embeddings=True))
    return tf.Ministral3ForCausalLM(config)


def clip(cls: Any, width: int = WIDTH) -> Any:
    """CLIP's text half, as ``cls``, pooling where its tokenizer ends."""
    known = tokens.clip()
    config = tf.CLIPTextConfig(
        hidden_size=width, intermediate_size=width, num_hidden_layers=2,
        num_attention_heads=width // HEAD, projection_dim=width, vocab_size=tokens.SIZE,
        max_position_embeddings=77,
        bos_token_id=known.bos_token_id, eos_token_id=known.eos_token_id,
        pad_token_id=known.pad_token_id,
    )  # fmt: skip
    return cls(config)


def t5(width: int = WIDTH) -> tf.T5EncoderModel:
    """T5 1.1's encoder, two layers."""
    return tf.T5EncoderModel(tf.T5Config(**_t5(width)))


def umt5(width: int = WIDTH) -> tf.UMT5EncoderModel:
    """UMT5's encoder, two layers."""
    return tf.UMT5EncoderModel(tf.UMT5Config(**_t5(width)))
