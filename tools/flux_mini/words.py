"""The two word-level tokenizers, both with a start token, the words and an end token."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tools.flux_mini.concepts import vocabulary

__all__ = ["CLIP_LENGTH", "SPECIAL_TOKENS", "T5_LENGTH", "clip_tokenizer", "t5_tokenizer"]

CLIP_LENGTH = 77
T5_LENGTH = 512

# CLIPTextModel pools at the end token, but with eos_token_id 2 it pools at the highest id
# instead (a rule kept for old checkpoints): the end token must therefore not be number 2.
SPECIAL_TOKENS: dict[str, int] = {"<pad>": 0, "</s>": 1, "<unk>": 2, "<s>": 3}


def _backend(template: str) -> Tokenizer:
    words = {**SPECIAL_TOKENS}
    for word in vocabulary():
        words[word] = len(words)
    backend: Any = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=list(SPECIAL_TOKENS.items())
    )
    return backend  # type: ignore[no-any-return]


def clip_tokenizer() -> PreTrainedTokenizerFast:
    """Tokenizer of the CLIP text encoder: start token, words, end token, padding to 77."""
    return PreTrainedTokenizerFast(
        tokenizer_object=_backend("<s> $A </s>"),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=CLIP_LENGTH,
    )


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """Tokenizer of the T5 encoder: as CLIP's, padding to what the caller asks for.

    T5 itself has no start token; here it is what a state counts its place from.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=_backend("<s> $A </s>"),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=T5_LENGTH,
    )
