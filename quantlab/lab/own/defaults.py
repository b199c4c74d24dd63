"""What a model of one's own runs with where nothing is said, and what may be asked of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantlab.catalog.models.schema import Defaults, Limits, Model
from quantlab.families import Family
from quantlab.lab.libraries import resolve
from quantlab.lab.own.parts import Index

__all__ = ["defaults_of", "limits_of"]

SIDE = 1024
"""Pixels of a picture where neither the class nor a config says how large it is."""
MOST_PIXELS = 2048
"""Of a picture's side, where nobody published a limit."""


def defaults_of(index: Index, family: Family, config: Mapping[str, Any]) -> Defaults:
    """What the class's own call takes where nothing is said."""
    call = inspect.signature(resolve(f"diffusers.{index.pipeline}").__call__).parameters
    given = {name: found.default for name, found in call.items()}
    sample = config.get("sample_size")
    patch = config.get("patch_size") or 1
    side = sample * family.pixels // patch if type(sample) is int and type(patch) is int else SIDE
    side = min(max(side - side % family.pixels, family.pixels), MOST_PIXELS)

    def number(name: str | None, otherwise: float) -> float:
        value = given.get(name or "")
        return float(value) if isinstance(value, int | float) else otherwise

    return Defaults(
        steps=int(number("num_inference_steps", 50)),
        width=side,
        height=side,
        sequence_length=int(number(family.length, 77)),
        guidance=number(family.scale, 0.0),
        frames=int(number("num_frames", 1)) if family.frames else None,
    )


def limits_of(defaults: Defaults, family: Family, like: Model | None) -> Limits:
    """Those of the listed model, or as many text tokens as the class takes; of no own model is a
    least size known, so that sizes go down to two tokens."""
    if like:
        return replace(like.limits, min_size=2 * like.limits.size_multiple)
    return Limits(
        max_steps=max(150, defaults.steps),
        min_size=2 * family.pixels,
        max_size=MOST_PIXELS - MOST_PIXELS % family.pixels,
        size_multiple=family.pixels,
        max_sequence_length=max(defaults.sequence_length, 1),
        max_references=1 if family.reference else 0,
        max_frames=defaults.frames,
        max_guidance=max(Limits.max_guidance, 2 * defaults.guidance),
    )
