"""How fast a loaded pipeline runs on this machine, from single steps at two small sizes.

For a CPU, where no rule from figures holds: catalog/time/pace.py makes seconds for any size of it.
The first call pays for allocations and is thrown away; of the others the median counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog
from quantlab.catalog.time.pace import Pace, pace_from
from quantlab.lab.device import Device
from quantlab.lab.load.pool import Pool
from quantlab.words.plan import Plan

__all__ = ["PROMPT", "SIZES", "measure_pace", "pace_of"]

SIZES = (64, 256)
"""Pixels of a side: the ends of what flux-mini draws, so that nothing is told beyond them; from 64
and 128 a line to 256 holds five times the error of either."""

PROMPT = "a red apple on a blue background"

STEPS = 2
"""The first step's time also holds the pipeline's preparation, so the second counts."""


def pace_of(model: Model, catalog: Catalog, device: Device) -> Pace:
    """The pace of a model that ships, as it is, on ``device``; reads its weights first.

    Raises:
        LoadError: it could not be loaded.
        Unavailable: a library that it needs is not here.
    """
    pool, family = Pool(0, catalog, device), model.family
    loaded = pool.load(model, Plan(dtype=model.base_dtype), lambda _: None)
    tokens = model.defaults.sequence_length
    call: dict[str, Any] = {family.length: tokens} if family.length is not None else {}
    return measure_pace(
        loaded.pipe, device, text_tokens=tokens, pixels_per_token=family.pixels, **call
    )


def measure_pace(
    pipe: Any,
    device: Device,
    *,
    text_tokens: int,
    pixels_per_token: int = 16,
    sizes: Sequence[int] = SIZES,
    repeats: int = 3,
    **call: Any,
) -> Pace:
    """The pace of ``pipe`` on ``device``: a pipeline that takes a prompt and a callback per step.

    ``text_tokens`` of one prompt as the denoiser sees it; ``call`` are more arguments of the
    pipeline's call, such as ``max_sequence_length``. Runs ``repeats`` + 1 calls a size.

    Raises:
        InputError: fewer than two sizes.
    """
    steps, decodes, encodes = [], [], []
    for size in sizes:
        _marks(pipe, device, size, call)
        runs = [_marks(pipe, device, size, call) for _ in range(repeats)]
        step = median(one - before for _, before, one, _ in runs)
        steps.append(((size // pixels_per_token) ** 2 + text_tokens, step))
        decodes.append((size * size, median(end - last for *_, last, end in runs)))
        encodes += [first - start - step for start, first, *_ in runs]
    return pace_from(steps, decodes, max(median(encodes), 0.0))


def _marks(
    pipe: Any, device: Device, size: int, call: dict[str, Any]
) -> tuple[float, float, float, float]:
    """When a call began, when either step was done, and when it ended; seconds."""
    marks = [device.clock()]

    def after_step(_: Any, __: int, ___: Any, ____: Any) -> dict[str, Any]:
        marks.append(device.clock())
        return {}

    pipe(
        prompt=PROMPT,
        width=size,
        height=size,
        num_inference_steps=STEPS,
        callback_on_step_end=after_step,
        **call,
    )
    start, first, second = marks
    return start, first, second, device.clock()
