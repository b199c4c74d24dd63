"""One image: encode the prompt, denoise, decode; timed part by part.

Goes through the pipeline's own ``__call__``, so that what is measured is what anybody's script
does. Does not know plans or schemes.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

from quantlab.errors import RunError, Stopped
from quantlab.families import Family, family_of
from quantlab.lab.bench.decoding import decoding
from quantlab.lab.bench.tensors import first_of, mapped, named, on
from quantlab.lab.device import Device
from quantlab.lab.libraries import torch
from quantlab.lab.load.blocks.pipeline import BlockPipeline
from quantlab.lab.load.stages import encode_again
from quantlab.lab.references import pictures
from quantlab.words.comparison import Comparison
from quantlab.words.settings import SETTINGS

__all__ = ["Encoded", "FirstStep", "Run", "encode", "forward", "generate"]


@dataclass(frozen=True)
class Encoded:
    """A prompt's embeddings, under the names by which the pipeline takes them, and the seconds.

    On the host; (1, tokens, width) each, but for the pooled ones of CLIP, (1, width).
    """

    inputs: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class FirstStep:
    """What the denoiser was called with at step 1, and its output, (1, image tokens, channels).

    ``inputs`` have the names of its ``forward``'s parameters, however it was called; tensors are on
    the host, also in lists and dicts. ``as_given`` names those whose dtype does not follow the
    plan's.
    """

    inputs: Mapping[str, Any]
    output: Any
    as_given: tuple[str, ...] = ()

    def again(self, denoiser: Any) -> Any:
        """The output of ``denoiser`` on these inputs, where and as they are."""
        return first_of(denoiser(**self.inputs))


@dataclass(frozen=True)
class Run:
    """One generated image (PIL) and the seconds of its parts; ``total_s`` leaves encoding out.

    ``latents`` are what the last step left, on the host, as the pipeline shapes them.
    """

    image: Any
    total_s: float
    step_s: float
    decode_s: float
    first: FirstStep
    latents: Any
    finite: bool


def encode(
    pipe: Any, comparison: Comparison, device: Device, family: Family | None = None
) -> Encoded:
    """Encode the prompt with the pipeline's text encoders, as its own ``__call__`` would.

    ``family`` is found by the pipeline's class where it is None.
    """
    started = device.clock()
    with torch().no_grad():
        settings = dict(comparison.settings)
        inputs = (family or _family(pipe)).encode(pipe, settings, pictures(comparison))
    seconds = device.clock() - started
    return Encoded(on(inputs, "cpu"), seconds)


def generate(
    pipe: Any,
    comparison: Comparison,
    encoded: Encoded,
    device: Device,
    *,
    on_step: Callable[[int], None],
    stop: threading.Event,
    family: Family | None = None,
) -> Run:
    """Denoise and decode; ``on_step`` is told how many steps are done.

    The starting noise depends on the seed alone, drawn on the CPU whatever the device.

    Raises:
        Stopped: ``stop`` was set; noticed at the next step.
        RunError: the pipeline has no argument for an optional setting that was given.
    """
    marks: list[float] = []
    latents: Any = None
    family = family or _family(pipe)
    embeddings = on(dict(encoded.inputs), device.target)
    shown = {str(family.reference): pictures(comparison)} if comparison.references else {}
    _check_taken(pipe, comparison)

    def after_step(_: Any, index: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        nonlocal latents
        marks.append(device.clock())
        latents = tensors["latents"]
        on_step(index + 1)
        if stop.is_set():
            raise Stopped("stopped")
        return {}

    first_call = _FirstCall(getattr(pipe, family.denoiser), family.as_given)
    with (
        decoding(getattr(pipe, family.decoder), comparison),
        _read(pipe, family, comparison, embeddings) as prompt,
        first_call as first,
    ):
        started = device.clock()
        result = pipe(
            **prompt,
            **shown,
            **family.arguments(dict(comparison.settings)),
            generator=torch().Generator("cpu").manual_seed(comparison.seed),
            callback_on_step_end=after_step,
        )
        ended = device.clock()
    # The first interval also holds the pipeline's preparation; with more steps it is left out.
    steps = [b - a for a, b in pairwise([started, *marks])]
    return Run(
        image=family.image_of(result),
        total_s=ended - started,
        step_s=median(steps[1:] or steps),
        decode_s=ended - marks[-1],
        first=first.seen(),
        latents=latents.to("cpu"),
        finite=bool(torch().isfinite(latents).all()),
    )


@contextmanager
def _read(
    pipe: Any, family: Family, comparison: Comparison, embeddings: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """The arguments of the call that stand for the prompt: its embeddings by name, or, where those
    have no name, the prompt, for which ``encode_prompt`` then gives them."""
    if not (family.replayed and comparison.references):
        yield embeddings
        return
    given = family.returned(embeddings)
    encode_again(pipe, *given)
    texts = {
        "prompt": comparison.prompt,
        "negative_prompt": dict(comparison.settings).get("negative_prompt", ""),
    }
    try:
        yield dict(list(texts.items())[: len(given)])
    finally:
        del pipe.encode_prompt


def _check_taken(pipe: Any, comparison: Comparison) -> None:
    """What every comparison has is the family's business; the rest must not be passed over."""
    taken = inspect.signature(type(pipe).__call__).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values()):
        return
    for row in SETTINGS:
        given = row.optional and row.argument and comparison.get(row.key) is not None
        if given and row.argument not in taken:
            raise RunError(f"{type(pipe).__name__} has no {row.part}; leave it out")


def forward(denoiser: Any, step: FirstStep, dtype: Any, target: str) -> Any:
    """The denoiser's output on the inputs of ``step``, cast to ``dtype`` as a plan computes.

    ``target`` is what it runs on, such as "cuda".

    Only what ``step.as_given`` names, such as positions, stays as the pipeline handed it over.
    """

    def to(value: Any, *, cast: bool = True) -> Any:
        def move(tensor: Any) -> Any:
            wanted = dtype if cast and tensor.is_floating_point() else None
            return tensor.to(device=target, dtype=wanted)

        return mapped(value, move)

    inputs = {n: to(value, cast=n not in step.as_given) for n, value in step.inputs.items()}
    with torch().no_grad():
        return replace(step, inputs=inputs).again(denoiser)


def _family(pipe: Any) -> Family:
    if isinstance(pipe, BlockPipeline):
        return family_of(pipe.pipeline)
    return family_of(*(cls.__name__ for cls in type(pipe).__mro__))


class _FirstCall:
    """Keeps the inputs and output of a module's first call, then steps out of the way."""

    def __init__(self, module: Any, as_given: tuple[str, ...]) -> None:
        self._as_given = as_given
        self._handle = module.register_forward_hook(self._hook, with_kwargs=True)
        self._seen: FirstStep | None = None

    def _hook(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        inputs, found = named(module, args, kwargs), first_of(output).detach()
        self._seen = FirstStep(inputs, found, self._as_given)
        self._handle.remove()

    def seen(self) -> FirstStep:
        if self._seen is None:
            raise RunError("the denoiser was never called")
        seen = self._seen
        return replace(
            seen,
            inputs=on(dict(seen.inputs), "cpu"),
            output=on(seen.output, "cpu"),
        )

    def __enter__(self) -> _FirstCall:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()
