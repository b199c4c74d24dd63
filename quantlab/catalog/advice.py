"""What to know of a model before it is run on something: told, never refused.

Each is one sentence; the page shows them when Run is pressed or a link is opened, the command line
before it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.shapes import config_of
from quantlab.catalog.vocabulary import pieces, unknown_words

__all__ = ["beforehand", "in_words", "tokens_kept"]

MOST_WORDS = 8
A_WORD = 1.5
"""Tokens of a word, at most, in a prompt of usual English."""
MARKS = 2
"""Tokens that mark beginning and end."""
FEW_POSITIONS = 1024
"""CLIP has 77; encoders that are language models have thousands."""


def beforehand(model: Model, prompts: Iterable[str], sequence_length: int) -> tuple[str, ...]:
    """The sentences about ``prompts`` at ``sequence_length`` tokens; none where all is well."""
    listed = list(prompts)
    return (
        *_about_stored(model),
        *_about_words(model, listed),
        *_about_limits(model, listed, sequence_length),
        *_about_length(model, sequence_length),
    )


def _about_stored(model: Model) -> tuple[str, ...]:
    """What is stored quantized and stays so, whatever the plan says."""
    kept = [component for component in model.components if component.why_as_it_is]
    if not kept:
        return ()
    stored = ", ".join(f"the {component.name} ({component.stored_as})" for component in kept)
    rest = "a plan of fp32 or bf16 is about the rest."
    return (f"{model.name} is stored quantized and used as stored: {stored}; {rest}",)


def _about_limits(model: Model, prompts: Iterable[str], length: int) -> tuple[str, ...]:
    """How many tokens each encoder keeps, where a prompt surely has more, or may have.

    Words and marks are counted, each of which is one token or more.
    """
    longest = max((len(pieces(prompt)) for prompt in prompts), default=0)
    kept = tokens_kept(model, length)
    if all(longest * A_WORD <= count - MARKS for count in kept.values()):
        return ()
    said = f"A prompt has {longest} tokens at least; {in_words(kept)}."
    if all(longest <= count - MARKS for count in kept.values()):
        return (
            f"A prompt of {longest} words and marks may have more tokens than are kept; "
            f"{in_words(kept)}.",
        )
    if longest > max(kept.values()) - MARKS:
        said += " Prompts that differ only after that give the same picture."
    return (said,)


def tokens_kept(model: Model, length: int) -> dict[str, int]:
    """What people call each encoder -> the tokens of a prompt that it reads, its marks included;
    ``length`` is the comparison's sequence length, which those with few positions do not follow."""
    found = {}
    for name in model.family.encoders:
        component = model.component(name)
        if component is not None:
            most = config_of(component.shapes).get("max_position_embeddings")
            few = isinstance(most, int) and most < FEW_POSITIONS
            found[model.family.label(name)] = int(most) if few and most else length
    return found


def in_words(kept: Mapping[str, int]) -> str:
    """``the text encoder keeps 77, the T5 encoder keeps 512``, of ``tokens_kept``."""
    return ", ".join(f"the {name} keeps {count}" for name, count in kept.items())


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
