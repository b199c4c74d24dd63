"""Out of memory, on a device or on the host: how it is known, and how nothing of it is kept alive.

torch says it in several ways: ``torch.OutOfMemoryError`` on CUDA, ROCm and Intel, a RuntimeError
on Apple's Metal and from the host's allocator; Python itself says MemoryError.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from quantlab.errors import first_line
from quantlab.lab.libraries import torch

__all__ = ["forget", "ran_out", "what_was_asked"]

_SAID = ("out of memory", "can't allocate memory", "not enough memory")


def ran_out(error: BaseException) -> bool:
    """Whether ``error``, or one that it came from, says that memory ran out."""
    return any(_says_so(each) for each in _chain(error))


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch().OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _SAID)


def what_was_asked(error: BaseException) -> str:
    """What torch says first: that memory ran out, and how much was asked for.

    On CUDA it goes on with the memory of every process and advice on its allocator.
    """
    sentences = first_line(error).rstrip(".").split(". ")
    return ". ".join(sentences[:2])


def forget(error: BaseException) -> None:
    """Drop what the frames of the error hold: their variables would keep tensors alive."""
    for each in _chain(error):
        traceback.clear_frames(each.__traceback__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]
