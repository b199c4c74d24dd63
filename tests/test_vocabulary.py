"""Unknown words as the page names them, held against the real tokenizer."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.catalog.vocabulary import unknown_words

MODELS = load_catalog().models
PROMPTS = (
    "a red apple on a blue background",
    "A Red APPLE, blue",
    "a zeppelin over Zürich!! on a red background",
    "zeppelin zeppelin",
    "ﬁg 龍 🐉 dog's",
    "",
)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_they_are_the_words_that_become_the_unknown_token(prompt: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(PROJECT / "data" / "flux-mini" / "tokenizer_2")
    ids = tokenizer(prompt, return_offsets_mapping=True)
    spans = zip(ids["input_ids"], ids["offset_mapping"], strict=True)
    lost = [prompt[a:b] for token, (a, b) in spans if token == tokenizer.unk_token_id]
    found = unknown_words(MODELS["flux-mini"], prompt)
    assert len(found) == len({word.lower() for word in lost})
    assert {word.casefold() for word in found} >= {w.casefold() for w in lost if w.isascii()}


def test_known_words_are_known_and_big_models_have_no_such_words() -> None:
    assert unknown_words(MODELS["flux-mini"], PROMPTS[0]) == ()
    assert unknown_words(MODELS["flux-mini"], PROMPTS[3]) == ("zeppelin",)
    assert unknown_words(MODELS["flux1-dev"], PROMPTS[2]) == ()
