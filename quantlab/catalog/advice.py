"""What to know of a model before it is run on something: told, never refused.

Each is one sentence; the page shows them when Run is pressed or a link is opened, the command line
before it starts.
"""

from __future__ import annotations

from collections.abc import Iterable

from quantlab.catalog.schema import Model
from quantlab.catalog.vocabulary import unknown_words

__all__ = ["beforehand"]

MOST_WORDS = 8


def beforehand(model: Model, prompts: Iterable[str], sequence_length: int) -> tuple[str, ...]:
    """The sentences about ``prompts`` at ``sequence_length`` tokens; none where all is well."""
    return (*_about_words(model, prompts), *_about_length(model, sequence_length))


def _about_words(model: Model, prompts: Iterable[str]) -> tuple[str, ...]:
    """Which words the model reads as "unknown word"."""
    words = list(dict.fromkeys(w for prompt in prompts for w in unknown_words(model, prompt)))
    if not words:
        return ()
    shown = ", ".join(words[:MOST_WORDS]) + (" and more" if len(words) > MOST_WORDS else "")
    return (f"{model.name} does not know these words and reads past them: {shown}.",)


def _about_length(model: Model, tokens: int) -> tuple[str, ...]:
    """Whether the model was trained with more tokens than it is to be given."""
    trained = model.trained
    if trained is None or tokens >= trained.sequence_length:
        return ()
    return (
        f"Sequence length {tokens} is below the {trained.sequence_length} tokens that "
        f"{model.name} was trained with; below {trained.subject_needs} it loses the subject.",
    )
