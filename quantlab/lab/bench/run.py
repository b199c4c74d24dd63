"""One image: encode the prompt, denoise, decode; timed part by part.

Goes through the pipeline's own ``__call__``, so that what is measured is what anybody's script
does. Does not know plans or schemes.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from quantlab.errors import RunError, Stopped
from quantlab.lab.bench.measure import clock
from quantlab.lab.libraries import device, torch
from quantlab.words.comparison import Comparison

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
    """The transformer's keyword arguments and output, (1, image tokens, channels), at step 1.

    On the host.
    """

    inputs: Mapping[str, Any]
    output: Any


@dataclass(frozen=True)
class Run:
    """One generated image (PIL) and the seconds of its parts; ``total_s`` leaves encoding out."""

    image: Any
    total_s: float
    step_s: float
    decode_s: float
    first: FirstStep
    finite: bool


def encode(pipe: Any, comparison: Comparison) -> Encoded:
    """Encode the prompt with the pipeline's text encoders, as its own ``__call__`` would."""
    taken = inspect.signature(type(pipe).__call__).parameters
    length = {"max_sequence_length": comparison.sequence_length}
    started = clock()
    with torch().no_grad():
        if "pooled_prompt_embeds" in taken:  # FLUX.1: T5's tokens and CLIP's summary
            found = pipe.encode_prompt(prompt=comparison.prompt, prompt_2=None, **length)
            inputs = {"prompt_embeds": found[0], "pooled_prompt_embeds": found[1]}
        else:  # FLUX.2: one language model
            inputs = {"prompt_embeds": pipe.encode_prompt(prompt=comparison.prompt, **length)[0]}
            if comparison.guidance > 1 and not pipe.config.is_distilled:
                inputs["negative_prompt_embeds"] = pipe.encode_prompt(prompt="", **length)[0]
    seconds = clock() - started
    return Encoded({name: tensor.to("cpu") for name, tensor in inputs.items()}, seconds)


def generate(
    pipe: Any,
    comparison: Comparison,
    encoded: Encoded,
    *,
    on_step: Callable[[int], None],
    stop: threading.Event,
) -> Run:
    """Denoise and decode; ``on_step`` is told how many steps are done.

    The starting noise depends on the seed alone, drawn on the CPU whatever the device.

    Raises:
        Stopped: ``stop`` was set; noticed at the next step.
    """
    marks: list[float] = []
    finite = True
    embeddings = {name: tensor.to(device()) for name, tensor in encoded.inputs.items()}

    def after_step(_: Any, index: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        nonlocal finite
        marks.append(clock())
        if index + 1 == comparison.steps:
            finite = bool(torch().isfinite(tensors["latents"]).all())
        on_step(index + 1)
        if stop.is_set():
            raise Stopped("stopped")
        return {}

    with _FirstCall(pipe.transformer) as first:
        started = clock()
        result = pipe(
            **embeddings,
            num_inference_steps=comparison.steps,
            guidance_scale=comparison.guidance,
            width=comparison.width,
            height=comparison.height,
            generator=torch().Generator("cpu").manual_seed(comparison.seed),
            callback_on_step_end=after_step,
        )
        ended = clock()
    marks = [started, *marks]
    # The first interval also holds the pipeline's preparation; with more steps it is left out.
    steps = [b - a for a, b in pairwise(marks)]
    return Run(
        image=result.images[0],
        total_s=ended - started,
        step_s=median(steps[1:] or steps),
        decode_s=ended - marks[-1],
        first=first.seen(),
        finite=finite,
    )


def forward(transformer: Any, step: FirstStep, dtype: Any) -> Any:
    """The transformer's output on the inputs of ``step``, cast to ``dtype`` as a plan computes."""
    # Positions and the guidance scale stay as the pipeline hands them over, in float32.
    kept = ("txt_ids", "img_ids", "guidance")

    def to(name: str, value: Any) -> Any:
        if not isinstance(value, torch().Tensor):
            return value
        cast = value.is_floating_point() and name not in kept
        return value.to(device=device(), dtype=dtype if cast else None)

    with torch().no_grad():
        return transformer(**{name: to(name, value) for name, value in step.inputs.items()})[0]


def _on_host(value: Any) -> Any:
    return value.to("cpu") if isinstance(value, torch().Tensor) else value


class _FirstCall:
    """Keeps the inputs and output of a module's first call, then steps out of the way."""

    def __init__(self, module: Any) -> None:
        self._handle = module.register_forward_hook(self._hook, with_kwargs=True)
        self._seen: FirstStep | None = None

    def _hook(self, _module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> None:
        self._seen = FirstStep(dict(kwargs), output[0].detach())
        self._handle.remove()

    def seen(self) -> FirstStep:
        if self._seen is None:
            raise RunError("the transformer was never called")
        inputs = {name: _on_host(value) for name, value in self._seen.inputs.items()}
        return FirstStep(inputs, _on_host(self._seen.output))

    def __enter__(self) -> _FirstCall:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()
