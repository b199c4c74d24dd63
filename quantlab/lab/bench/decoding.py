"""An autoencoder that decodes as a comparison asks, for as long as one image takes.

It is shared between comparisons, so that what is switched on is switched off again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from quantlab.errors import RunError
from quantlab.words.comparison import Comparison

__all__ = ["WAYS", "decoding", "ways_asked"]

WAYS = {"vae_tiling": "tiling", "vae_slicing": "slicing"}
"""Settings, and what diffusers' ``enable_`` and ``disable_`` are followed by."""


def ways_asked(comparison: Comparison) -> list[str]:
    """The ways of decoding that ``comparison`` asks for, as diffusers names them."""
    return [way for setting, way in WAYS.items() if comparison.get(setting) is True]


@contextmanager
def decoding(decoder: Any, comparison: Comparison) -> Iterator[None]:
    """Have ``decoder``, an autoencoder of diffusers, decode in the ways that are asked for.

    Raises:
        RunError: its class has no such way.
    """
    asked = ways_asked(comparison)
    try:
        for way in asked:
            try:
                getattr(decoder, f"enable_{way}")()
            except (AttributeError, NotImplementedError):
                cls = type(decoder).__name__
                raise RunError(f"{cls} decodes without {way}; leave it out") from None
        yield
    finally:
        for way in asked:
            if hasattr(decoder, f"use_{way}"):
                getattr(decoder, f"disable_{way}")()
