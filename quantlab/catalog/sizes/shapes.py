"""Reads data/shapes/*.json: the modules of each component, by name, kind and shape.

The table of a model of one's own is in its description (hub/admit.py).

The tables are made by tools/shapes.py on torch's meta device; here they are plain JSON. A tensor
that a module shares with an earlier one (tied weights) is left out, so everything counts once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from quantlab.catalog.paths import PROJECT, own_descriptions
from quantlab.errors import CatalogError

__all__ = ["ModuleShape", "component_rows", "component_shapes", "from_rows", "listed_rows"]

ITEM_BYTES = {"int64": 8, "int32": 4, "uint8": 1, "int8": 1, "bool": 1}


@dataclass(frozen=True)
class ModuleShape:
    """One module with tensors of its own.

    ``weight`` is its weight's shape, or () where it has none or shares it. ``others`` is the
    count of its other floating-point numbers, ``fixed_bytes`` the bytes of what is no float.
    """

    name: str
    kind: str
    """"linear", "conv", "embedding", "norm" or "other"."""
    weight: tuple[int, ...]
    others: int
    fixed_bytes: int = 0

    @property
    def numbers(self) -> int:
        """All floating-point numbers of the module."""
        return (prod(self.weight) if self.weight else 0) + self.others


@lru_cache(maxsize=64)
def component_shapes(model_id: str, component: str) -> tuple[ModuleShape, ...]:
    """The modules of a component, in the order of ``named_modules()``.

    Raises:
        CatalogError: there is no table for the model, or not this component in it.
    """
    return from_rows(component_rows(model_id, component))


def component_rows(model_id: str, component: str) -> Sequence[Sequence[Any]]:
    """The rows of a component as its table has them; see ``from_rows``.

    Raises:
        CatalogError: there is no table for the model, or not this component in it.
    """
    components = _table(model_id)
    if component not in components:
        raise CatalogError(f"data/shapes/{model_id}.json: has no component {component!r}")
    rows: Sequence[Sequence[Any]] = components[component]["modules"]
    return rows


def listed_rows(cls: str) -> Iterator[Sequence[Any]]:
    """The rows of every component of class ``cls`` in the tables under data/."""
    for path in sorted((PROJECT / "data" / "shapes").glob("*.json")):
        for component in _table(path.stem).values():
            if component["cls"] == cls:
                yield from component["modules"]


def from_rows(rows: Iterable[Sequence[Any]]) -> tuple[ModuleShape, ...]:
    """Modules from rows of ``[name, kind, {tensor: shape}]``, as a table has them."""
    return tuple(_module(*row) for row in rows)


@lru_cache(maxsize=16)
def _table(model_id: str) -> Mapping[str, Any]:
    own = own_descriptions().get(model_id)
    path = own or PROJECT / "data" / "shapes" / f"{model_id}.json"
    try:
        components: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["components"]
    except (OSError, ValueError, KeyError) as error:
        raise CatalogError(
            f"data/shapes/{model_id}.json: is missing or broken; python -m tools.shapes makes it"
        ) from error
    return components


def _module(name: str, kind: str, tensors: Mapping[str, Any]) -> ModuleShape:
    own = {key: shape for key, shape in tensors.items() if isinstance(shape, list)}
    weight = tuple(own.pop("weight", ()))
    floats = sum(prod(shape) for key, shape in own.items() if ":" not in key)
    fixed = sum(
        prod(shape) * ITEM_BYTES[key.partition(":")[2]] for key, shape in own.items() if ":" in key
    )
    return ModuleShape(name, kind, weight, floats, fixed)
