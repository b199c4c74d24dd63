"""A plan whose parts take turns on the device: text encoders, what draws, the decoder alone.

What a stage does not need goes before the next one is read; load/pool.py says whether it waits in
host memory or is let go and read again for the next image. The denoiser goes in the middle of the
pipeline's own call, when that is about to decode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from quantlab.lab.load.reader import Held

__all__ = ["Stages", "config_alone", "decode_alone", "encode_again"]


def decode_alone(pipe: Any, decoder: str, others: list[str], release: Any) -> None:
    """Let go of the components ``others`` of ``pipe`` when it is about to decode an image.

    ``release`` is then called, to hand back what they took.
    """
    decode = getattr(pipe, decoder).decode

    def decode_then(*args: Any, **kwargs: Any) -> Any:
        for name in others:
            setattr(pipe, name, None)
        release()
        return decode(*args, **kwargs)

    getattr(pipe, decoder).decode = decode_then


def encode_again(pipe: Any, *given: Any) -> None:
    """Let the calls of ``encode_prompt`` that ``pipe`` makes give what it gave before, in turn."""
    left = list(given)
    pipe.encode_prompt = lambda **_: left.pop(0)


def config_alone(pipe: Any, name: str, cls: Any, folder: str, **more: Any) -> None:
    """Let ``pipe`` ask the config of a component ``name`` of class ``cls`` that is not read.

    Where a text encoder is left out, some pipelines ask the denoiser how wide its output would be.
    ``more`` goes to ``load_config``.
    """
    import types

    import torch

    with torch.device("meta"):  # what its file does not name has the class's default
        config = cls.from_config(cls.load_config(folder, **more)).config
    setattr(pipe, name, types.SimpleNamespace(config=config))


@dataclass
class Stages:
    """The stages of one plan. ``take`` has a component on the device and says how many seconds
    reading it took, 0 where it was held; ``leave`` has components off the device; ``assemble``
    makes a pipeline that lacks all others."""

    take: Callable[[str], tuple[Held, float]]
    leave: Callable[[Iterable[str]], None]
    assemble: Callable[[Mapping[str, Any]], Any]
    encoders: tuple[str, ...]
    denoisers: tuple[str, ...]
    decoder: str
    seen: dict[str, Held] = field(default_factory=dict)
    """What each component was like when it was last on the device, without its module."""
    seconds: float = 0.0
    """Of all reading; a component that is read again counts again."""

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """The pipeline of the text encoders alone."""
        self.leave((*self.denoisers, self.decoder))
        yield self._pipe(self.encoders)

    @contextmanager
    def drawing(self) -> Iterator[Any]:
        """The pipeline of all but the text encoders, for one call: then its denoisers are gone."""
        self.leave(self.encoders)
        pipe = self._pipe((*self.denoisers, self.decoder))
        decoder, others = getattr(pipe, self.decoder), list(self.denoisers)
        decode_alone(pipe, self.decoder, others, lambda: self.leave(others))
        try:
            yield pipe
        finally:
            del decoder.decode

    def denoiser(self) -> Any:
        """The first denoiser, on the device."""
        self.leave((*self.encoders, self.decoder))
        return self._taken(self.denoisers[0])

    def _pipe(self, names: Iterable[str]) -> Any:
        return self.assemble({name: self._taken(name) for name in names})

    def _taken(self, name: str) -> Any:
        held, seconds = self.take(name)
        self.seconds += seconds
        self.seen[name] = replace(held, module=None)
        return held.module
