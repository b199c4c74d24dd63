"""One image: encode the prompt, denoise, decode; timed part by part.

Goes through the pipeline's own ``__call__``, so that what is measured is what anybody's script
does. Does not know plans or schemes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from quantlab.errors import RunError, Stopped
from quantlab.lab.libraries import torch
from quantlab.lab.measure import clock
from quantlab.lab.plan import Comparison

__all__ = ["Encoded", "FirstStep", "Run", "encode", "forward", "generate"]


@dataclass(frozen=True)
class Encoded:
    """A prompt's embeddings, T5's (1, tokens, width) and CLIP's (1, width), and the seconds."""

    prompt_embeds: Any
    pooled_prompt_embeds: Any
    seconds: float


@dataclass(frozen=True)
class FirstStep:
    """The transformer's keyword arguments and output, (1, image tokens, channels), at step 1."""

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
    """Encode the prompt with the pipeline's text encoders."""
    started = clock()
    with torch().no_grad():
        prompt_embeds, pooled, _ = pipe.encode_prompt(
            prompt=comparison.prompt,
            prompt_2=None,
            max_sequence_length=comparison.sequence_length,
        )
    return Encoded(prompt_embeds, pooled, clock() - started)


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
            prompt_embeds=encoded.prompt_embeds,
            pooled_prompt_embeds=encoded.pooled_prompt_embeds,
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
        tensor = isinstance(value, torch().Tensor) and value.is_floating_point()
        return value.to(dtype) if tensor and name not in kept else value

    with torch().no_grad():
        return transformer(**{name: to(name, value) for name, value in step.inputs.items()})[0]


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
        return self._seen

    def __enter__(self) -> _FirstCall:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()
