"""Whose denoiser a single file holds: its tensors, renamed by diffusers, held against shape tables.

``from_single_file`` renames what other programs wrote with a function of the denoiser's class; the
same function is given tensors of torch's meta device here, which have shapes and no numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from quantlab.catalog.models.schema import Component, Model
from quantlab.catalog.sizes.shapes import config_of, rows_of
from quantlab.errors import first_line
from quantlab.lab.libraries import load, resolve, torch
from quantlab.lab.own.built import kept_in_fp32
from quantlab.lab.own.single import Single

__all__ = ["Fit", "fit"]

LOADER = "diffusers.loaders.single_file_model"
ALIKE = 0.03
"""By how much the count of all numbers may differ for a file to be tried: what is idle is left out
of some."""


@dataclass(frozen=True)
class Fit:
    """How a file's tensors fit a component; ``why_not`` is "" where they do.

    ``numbers`` are those that are read in the dtype of the pipeline, ``in_fp32`` those that
    diffusers keeps in fp32, ``kept_packed`` a module that must stay as it is and does not.
    """

    why_not: str = ""
    numbers: int = 0
    in_fp32: int = 0
    kept_packed: str = ""


def fit(single: Single, model: Model) -> Fit:
    """How the file fits the denoiser of ``model``."""
    component = model.components[0]
    known = load(LOADER).SINGLE_FILE_LOADABLE_CLASSES.get(component.cls)
    if known is None:
        return Fit(f"diffusers reads no single file of a {component.cls}")
    wanted = _wanted(component)
    count = sum(map(prod, wanted.values()))
    held = sum(prod(tensor.shape) for tensor in single.weights.values())
    if abs(held - count) > ALIKE * count:
        return Fit(f"it has {held:,} numbers, the {component.name} of {model.name} {count:,}")
    try:
        found = _renamed(single, component, known["checkpoint_mapping_fn"], wanted)
    except Exception as error:  # whatever trips over names that it does not know
        return Fit(f"diffusers does not know its names ({type(error).__name__}: {_short(error)})")
    for name, shape in wanted.items():
        if name not in found:
            return Fit(f"it lacks {name}")
        if tuple(found[name].shape) != shape:
            said = f"{list(found[name].shape)} instead of {list(shape)}"
            return Fit(f"its {name} is {said}")
    return _counted(found, wanted, component, model)


def _short(error: Exception) -> str:
    return first_line(error)[:80]


def _wanted(component: Component) -> dict[str, tuple[int, ...]]:
    """Every tensor of numbers that the component's class makes, by its full name."""
    return {
        f"{module}.{key}" if module else key: tuple(shape)
        for module, _, tensors in rows_of(component.shapes)
        for key, shape in tensors.items()
        if isinstance(shape, list) and ":" not in key
    }


def _renamed(
    single: Single, component: Component, rename: Any, wanted: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The file's tensors under diffusers' names; uint8 stands for what is packed."""
    kinds = {True: torch().uint8, False: torch().float32}
    tensors = {
        name: torch().empty(tensor.shape, dtype=kinds[name in single.packed], device="meta")
        for name, tensor in single.weights.items()
    }
    if wanted.keys() == tensors.keys():
        return tensors
    config = dict(config_of(component.shapes))
    found: Mapping[str, Any] = rename(config=config, checkpoint=tensors)
    return found


def _counted(
    found: Mapping[str, Any], wanted: Mapping[str, Any], component: Component, model: Model
) -> Fit:
    kept = set(kept_in_fp32(resolve(f"{component.library}.{component.cls}")))
    plain = {name for name in wanted if found[name].dtype != torch().uint8}
    in_fp32 = {name for name in plain if kept & set(name.split("."))}
    packed = [
        module
        for module in model.family.kept(component.name)
        if f"{module}.weight" in wanted and f"{module}.weight" not in plain
    ]
    return Fit(
        numbers=sum(prod(wanted[name]) for name in plain - in_fp32),
        in_fp32=sum(prod(wanted[name]) for name in in_fp32),
        kept_packed=packed[0] if packed else "",
    )
