"""What is told before a run: unknown words, held against the real tokenizer, and short lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from quantlab.catalog.advice import beforehand
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.catalog.vocabulary import unknown_words
from quantlab.cli import main

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


def test_a_length_below_that_of_the_training_is_told_and_not_refused() -> None:
    mini = MODELS["flux-mini"]
    (told,) = beforehand(mini, PROMPTS[:1], 16)
    assert told == (
        "Sequence length 16 is below the 32 tokens that flux-mini was trained with; below 24 it "
        "loses the subject."
    )
    assert beforehand(mini, PROMPTS[:1], 31)
    assert beforehand(mini, PROMPTS[:1], 32) == beforehand(mini, PROMPTS[:1], 512) == ()
    assert beforehand(MODELS["flux1-dev"], PROMPTS, 16) == ()


def test_the_words_of_many_prompts_are_told_once_and_not_without_end() -> None:
    (told,) = beforehand(MODELS["flux-mini"], ["a zeppelin", "zeppelin, zebu", "a red apple"], 32)
    assert told == "flux-mini does not know these words and reads past them: zeppelin, zebu."
    many = " ".join(f"q{index}" for index in range(9))
    (told,) = beforehand(MODELS["flux-mini"], [many], 32)
    assert told.endswith("q6, q7 and more.")


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_the_command_line_tells_before_it_runs(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    asked = ["--plans", "fp32", "--prompt", "a zeppelin", "--sequence-length", "16", "--steps", "1"]
    assert main([command, *asked, "--warmup", "0", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    words, length, *_ = printed.err.splitlines()
    assert words.endswith("reads past them: zeppelin.")
    assert length.startswith("quantlab: Sequence length 16 is below the 32 tokens")
    assert "Sequence length" not in printed.out
