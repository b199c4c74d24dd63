"""Which words of a prompt a small model does not know, without loading its tokenizer."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Model

__all__ = ["pieces", "unknown_words"]

_PIECES = re.compile(r"\w+|[^\w\s]+")
"""Words and runs of punctuation, as the tokenizers' Whitespace splits them."""


def unknown_words(model: Model, prompt: str) -> tuple[str, ...]:
    """The words of ``prompt`` that become the unknown token, each once, in their order.

    Only a local model with a word-level tokenizer has such words; for others the answer is empty.
    """
    known = _words(model.source) if model.local else None
    if known is None:
        return ()
    return tuple(dict.fromkeys(piece for piece in pieces(prompt) if piece not in known))


def pieces(prompt: str) -> list[str]:
    """Words and runs of punctuation, in lower case."""
    return _PIECES.findall(unicodedata.normalize("NFKC", prompt).lower())


@lru_cache(maxsize=4)
def _words(source: str) -> frozenset[str] | None:
    path = PROJECT / source / "tokenizer_2" / "tokenizer.json"
    if not path.exists():
        return None
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    return frozenset(model["vocab"]) if model.get("type") == "WordLevel" else None
