"""The Linear layers of a denoiser as tuning sees them: names, shapes, which are usually kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quantlab.catalog.schema import Scheme
from quantlab.catalog.sizes.storage import weight_bytes
from quantlab.lab.libraries import torch

__all__ = ["KEPT_BITS", "Layer", "bits_of", "layers_of", "usually_kept"]

KEPT_BITS = 16.0
"""Stored bits of a number that nothing quantizes: what checkpoints are published in."""
_IN_A_BLOCK = re.compile(r"\.\d+\.")


@dataclass(frozen=True)
class Layer:
    """One Linear layer; its weight has the shape (rows, columns)."""

    name: str
    rows: int
    columns: int

    @property
    def numbers(self) -> int:
        """How many numbers its weight has."""
        return self.rows * self.columns


def layers_of(module: Any) -> tuple[Layer, ...]:
    """The Linear layers of an unquantized module, in the order of ``named_modules()``."""
    return tuple(
        Layer(name, *layer.weight.shape)
        for name, layer in module.named_modules()
        if isinstance(layer, torch().nn.Linear)
    )


def usually_kept(layers: Iterable[Layer]) -> tuple[str, ...]:
    """What people leave in 16 bits: the layers outside the repeated blocks.

    These are the embedders, the last norm's modulation and the last projection.
    """
    return tuple(layer.name for layer in layers if not _IN_A_BLOCK.search(f"{layer.name}."))


def bits_of(layer: Layer, scheme: Scheme | None) -> float | None:
    """Stored bits of a number of ``layer`` under ``scheme``, scales included; None keeps it.

    None also comes back: where the scheme leaves a layer of this shape as it was.
    """
    if scheme is None:
        return KEPT_BITS
    if scheme.storage is None:
        return None
    stored = weight_bytes(scheme.storage, layer.rows, layer.columns, int(KEPT_BITS // 8))
    return None if stored is None else stored * 8 / layer.numbers
