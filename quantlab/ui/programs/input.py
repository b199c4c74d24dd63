"""What programs hand in: values of any JSON type, read or refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from quantlab.errors import InputError, QuantlabError
from quantlab.words.numbers import finite_number

__all__ = ["maybe", "number", "one_sentence", "text", "texts"]

MAX_TEXT = 2000
MAX_TEXTS = 32


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn an error meant for people into the one that Gradio passes on to programs."""
    try:
        yield
    except QuantlabError as error:
        raise gr.Error(str(error), print_exception=False) from error


def text(part: str, value: object, longest: int = MAX_TEXT) -> str:
    """``value`` where it is text of at most ``longest`` characters.

    Raises:
        InputError: it is not; ``part`` is named.
    """
    if not isinstance(value, str):
        raise InputError(part, "must be text")
    if len(value) > longest:
        raise InputError(part, f"{len(value)} characters; at most {longest} are allowed")
    return value


def maybe(part: str, value: object) -> str | None:
    """``value`` where it is text, or None.

    Raises:
        InputError: it is neither; ``part`` is named.
    """
    return None if value is None else text(part, value)


def texts(part: str, value: object) -> list[str]:
    """``value`` where it is a list of texts; None is an empty one.

    Raises:
        InputError: it is not; ``part`` is named.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(part, "must be a list of texts")
    if len(value) > MAX_TEXTS:
        raise InputError(part, f"{len(value)} given; at most {MAX_TEXTS} are allowed")
    return [text(part, item) for item in value]


def number(part: str, value: object) -> Any:
    """``value`` where it is a finite number or None; how large it may be says who reads it.

    Raises:
        InputError: it is not; ``part`` is named.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(part, "must be a number")
    if finite_number(value) is None:
        raise InputError(part, "must be a finite number")
    return value
