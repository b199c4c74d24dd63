"""Tokenizers that are made here: a byte-level BPE with the special tokens of a kind of encoder.

Any text has tokens, and the words below are one each, so that a short prompt stays short. Nothing
is fetched.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["SIZE", "chat", "clip", "save_processor", "t5"]

SIZE = 512
"""Rows that every encoder's embedding has; the tokenizers use fewer."""

PLAIN = ("<pad>", "</s>", "<unk>", "<s>")
CHAT = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "[IMG]", "[IMG_BREAK]", "[IMG_END]",
)  # fmt: skip
TEXT = (
    "a fox on a white background",
    "a red cube and a blue ball in the snow",
    "user system assistant describe the image",
)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}"
    "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@lru_cache(maxsize=4)
def _trained(special: tuple[str, ...]) -> str:
    """The tokenizer as JSON: bytes, the words of ``TEXT`` and the special tokens."""
    made: Any = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - 8, min_frequency=1, show_progress=False, special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    made.train_from_iterator(TEXT, trainer)
    made.add_special_tokens([AddedToken(token, special=True) for token in special])
    return str(made.to_str())


def chat(length: int = 4096) -> PreTrainedTokenizerFast:
    """For language models that read a chat: Qwen's special tokens and Mistral's for images."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(CHAT)), eos_token="<|im_end|>",
        pad_token="<|endoftext|>", model_max_length=length, chat_template=TEMPLATE,
    )  # fmt: skip


def clip() -> PreTrainedTokenizerFast:
    """For CLIP: start token, text, end token, 77 in all."""
    return _bounded("<s> $A </s>", 77)


def t5() -> PreTrainedTokenizerFast:
    """For T5 and UMT5: text and an end token."""
    return _bounded("$A </s>", 512)


def _bounded(template: str, length: int) -> PreTrainedTokenizerFast:
    made = Tokenizer.from_str(_trained(PLAIN))
    made.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(token, made.token_to_id(token)) for token in PLAIN]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="<pad>", model_max_length=length,
    )  # fmt: skip


def save_processor(folder: Path, processor: str, **halves: Any) -> None:
    """Save the chat tokenizer and what makes its folder that of ``processor``.

    ``halves`` are the configs of the parts for images and videos and what the processor is set to,
    written as transformers does, since without torchvision the classes cannot be used.
    """
    tokenizer = chat()
    tokenizer.save_pretrained(folder)
    config = {"processor_class": processor, **halves}
    (folder / "processor_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
