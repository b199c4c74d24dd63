"""Tiny text encoders: the real classes, 32 wide, with as many layers as the pipelines read."""

from __future__ import annotations

from typing import Any

import transformers as tf

from tools.twins import tokens

__all__ = [
    "WIDTH", "clip", "ministral", "mistral3", "qwen2_5_vl", "qwen3", "qwen3_5", "qwen3_vl", "t5",
    "umt5",
]  # fmt: skip

WIDTH = 32
SMALL: dict[str, Any] = {
    "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "vocab_size": tokens.SIZE,
    "max_position_embeddings": 4096,
}  # fmt: skip
EYES: dict[str, Any] = {
    "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "patch_size": 16,
    "out_hidden_size": WIDTH,
}  # fmt: skip
T5: dict[str, Any] = {
    "d_model": WIDTH, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2,
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


def _text(layers: int, **settings: Any) -> dict[str, Any]:
    ends = {"eos_token_id": tokens.chat().eos_token_id, "pad_token_id": tokens.chat().pad_token_id}
    return {**SMALL, "num_hidden_layers": layers, "bos_token_id": None, **ends, **settings}


def qwen3(cls: Any, layers: int) -> Any:
    """Qwen3 with tied embeddings, as ``cls``."""
    return cls(tf.Qwen3Config(**_text(layers, tie_word_embeddings=True)))


def qwen3_vl(cls: Any, layers: int) -> Any:
    """Qwen3-VL with tied embeddings, as ``cls``."""
    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 5e6}
    config = tf.Qwen3VLConfig(
        text_config=_text(layers, rope_parameters=rope, tie_word_embeddings=True),
        vision_config={**EYES, "deepstack_visual_indexes": [0], "num_position_embeddings": 16},
        tie_word_embeddings=True, **_special(),
    )  # fmt: skip
    return cls(config)


def qwen2_5_vl() -> tf.Qwen2_5_VLForConditionalGeneration:
    """Qwen2.5-VL, two layers."""
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6}
    config = tf.Qwen2_5_VLConfig(
        text_config=_text(2, rope_parameters=rope),
        vision_config={**EYES, "fullatt_block_indexes": [0], "window_size": 64}, **_special(),
    )  # fmt: skip
    return tf.Qwen2_5_VLForConditionalGeneration(config)


def qwen3_5() -> tf.Qwen3_5ForConditionalGeneration:
    """Qwen3.5, one layer of linear attention and one of full: FLUX.3's prompt upsampler."""
    linear = {
        "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_num_key_heads": 1,
        "linear_num_value_heads": 2, "linear_conv_kernel_dim": 4,
    }  # fmt: skip
    config = tf.Qwen3_5Config(
        text_config=_text(2, layer_types=["linear_attention", "full_attention"], **linear),
        vision_config={**EYES, "num_position_embeddings": 16}, **_special(),
    )  # fmt: skip
    return tf.Qwen3_5ForConditionalGeneration(config)


def mistral3(cls: Any, layers: int, kind: str) -> Any:
    """Mistral's language model with eyes, as ``cls``; ``kind`` is "mistral" or "ministral3"."""
    config = tf.Mistral3Config(
        text_config={"model_type": kind, **_text(layers)},
        vision_config={
            "model_type": "pixtral", "hidden_size": 32, "intermediate_size": 32, "image_size": 64,
            "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16, "patch_size": 16,
        },
        image_token_id=tokens.chat().convert_tokens_to_ids("[IMG]"),
    )  # fmt: skip
    return cls(config)


def ministral() -> tf.Ministral3ForCausalLM:
    """Ministral 3, two layers: ERNIE-Image's prompt enhancer."""
    return tf.Ministral3ForCausalLM(tf.Ministral3Config(**_text(2)))


def clip(cls: Any) -> Any:
    """CLIP's text half, as ``cls``, pooling where its tokenizer ends."""
    known = tokens.clip()
    config = tf.CLIPTextConfig(
        hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=WIDTH, vocab_size=tokens.SIZE, max_position_embeddings=77,
        bos_token_id=known.bos_token_id, eos_token_id=known.eos_token_id,
        pad_token_id=known.pad_token_id,
    )  # fmt: skip
    return cls(config)


def t5(width: int = WIDTH) -> tf.T5EncoderModel:
    """T5 1.1's encoder, two layers."""
    return tf.T5EncoderModel(tf.T5Config(**{**T5, "d_model": width}))


def umt5() -> tf.UMT5EncoderModel:
    """UMT5's encoder, two layers."""
    return tf.UMT5EncoderModel(tf.UMT5Config(**T5))
