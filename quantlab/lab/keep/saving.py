"""Saving a quantized component, reading it back, and what the way there and back changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.catalog.schema import Component, Method, Scheme
from quantlab.errors import LoadError, first_line
from quantlab.lab.libraries import resolve, torch
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


def cannot_save(scheme: Scheme, method: Method, library: str, device: str) -> str | None:
    """Why a component of ``library`` in ``scheme`` cannot be saved and loaded again, or None.

    The catalogue's "serializable" decides. "partial" is taken for yes with diffusers only: there
    the save is tried and read back before it counts.
    """
    cell = method.cell("serializable", scheme)
    if scheme.way == "layerwise":
        return "layerwise casting is not stored: the saved file is of full width"
    if library == "diffusers" and scheme.on_cpu == "library" and device == "cpu":
        return "diffusers refuses it on a CPU, so that what is saved here cannot be loaded again"
    good = cell.value == "yes" or (cell.value == "partial" and library == "diffusers")
    if scheme.way == "config" and good:
        return None
    return cell.note or f"{method.name} does not save what it quantizes ({cell.source})"


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


def reload(component: Component, folder: Path, dtype: str) -> Any:
    """The component that ``save_pretrained`` wrote to ``folder``, by its library alone.

    Raises:
        LoadError: the library cannot load it.
    """
    cls = resolve(f"{component.library}.{component.cls}")
    try:
        return cls.from_pretrained(folder, dtype=resolve(dtype)).eval()
    except Exception as error:  # whatever a backend raises, as where a component is quantized
        raise LoadError(f"{component.name}: {type(error).__name__}: {first_line(error)}") from error


def read_back(
    module: Any, component: Component, scheme: Scheme, folder: Path, dtype: str
) -> Difference:
    """Reload what ``module`` was saved to, verify it, and say what the way there and back changed.

    Raises:
        LoadError: it cannot be loaded, or comes back as something else.
    """
    again = reload(component, folder, dtype)
    verify(again, scheme, component.name)
    found = difference(module, again)
    if found.rel_l2 > RELOAD_REL_L2:
        raise LoadError(f"{component.name} in {scheme.id} comes back changed: {found}")
    return found


def save(module: Any, component: Component, scheme: Scheme, folder: Path) -> None:
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
        raise LoadError(f"{component.name} in {scheme.id}: {first_line(error)}") from error
