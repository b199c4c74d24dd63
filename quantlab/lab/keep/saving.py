"""Saving a quantized component, reading it back, and what the way there and back changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.catalog.table import Catalog
from quantlab.errors import LoadError, first_line
from quantlab.lab.libraries import resolve, torch
from quantlab.lab.load.part import Part
from quantlab.lab.load.way import way_of
from quantlab.lab.load.weights import plain_weights, verify

__all__ = ["Difference", "cannot_save", "difference", "read_back", "reload", "save"]

RELOAD_REL_L2 = 0.02
"""Weights that come back further off than this are another model: half an 8-bit scheme's error."""


@dataclass(frozen=True)
class Difference:
    """What saving and reloading changed: ``changed`` of ``tensors`` plain tensors are not the same
    to the bit; ``rel_l2`` is ||after - before|| / ||before|| of the one that differs most."""

    tensors: int
    changed: int
    rel_l2: float

    def __str__(self) -> str:
        if not self.changed:
            return f"all {self.tensors} tensors are the same to the bit"
        share = f"{self.changed} of {self.tensors} tensors differ"
        return f"{share}, by {self.rel_l2:.2g} (relative L2) at most"


def cannot_save(part: Part, catalog: Catalog) -> str | None:
    """Why ``part`` cannot be saved and loaded again by its library alone, or None."""
    return way_of(part).why_not_saved(part, catalog.methods[part.known.method])


def difference(before: Any, after: Any) -> Difference:
    """Compare two modules of one class, plain tensor by plain tensor, in the order of their layers.

    ``rel_l2`` is infinite where number, shape or type of the tensors differ.
    """
    old, new = list(plain_weights(before)), list(plain_weights(after))
    if len(old) != len(new):
        return Difference(len(old), abs(len(old) - len(new)), math.inf)
    apart = [_apart(*pair) for pair in zip(old, new, strict=True)]
    changed = [value for value in apart if value is not None]
    return Difference(len(apart), len(changed), max(changed, default=0.0))


def _apart(old: Any, new: Any) -> float | None:
    """Relative L2 between two tensors, or None where they are the same to the bit."""
    t = torch()
    old, new = old.detach().cpu(), new.detach().cpu()
    if old.dtype != new.dtype or old.shape != new.shape:
        return math.inf
    if t.equal(_bits(old), _bits(new)):
        return None
    was, now = old.double(), new.double()
    return float((now - was).norm() / was.norm().clamp(min=1e-30))


def _bits(tensor: Any) -> Any:
    return tensor.contiguous().reshape(-1).view(torch().uint8)


def reload(part: Part, folder: Path) -> Any:
    """The component that ``save_pretrained`` wrote to ``folder``, by its library alone.

    Raises:
        LoadError: the library cannot load it.
    """
    cls, name = resolve(part.cls), part.component.name
    try:
        return cls.from_pretrained(folder, dtype=resolve(part.dtype)).eval()
    except Exception as error:  # whatever a backend raises, as where a component is quantized
        raise LoadError(f"{name}: {type(error).__name__}: {first_line(error)}") from error


def read_back(module: Any, part: Part, folder: Path) -> Difference:
    """Reload what ``module`` was saved to, verify it, and say what the way there and back changed.

    Raises:
        LoadError: it cannot be loaded, or comes back as something else.
    """
    again = reload(part, folder)
    verify(again, part.known, part.component.name, part.kept)
    found = difference(module, again)
    if found.rel_l2 > RELOAD_REL_L2:
        raise LoadError(f"{part.component.name} in {part.known.id} comes back changed: {found}")
    return found


def save(module: Any, part: Part, folder: Path) -> None:
    """Write a component as its library stores it.

    Raises:
        LoadError: the library refuses.
        OSError: the folder cannot be written.
    """
    try:
        module.save_pretrained(folder)
    except OSError:
        raise
    except Exception as error:  # whatever a backend raises, as where a component is quantized
        name = f"{part.component.name} in {part.known.id}"
        raise LoadError(f"{name}: {first_line(error)}") from error
