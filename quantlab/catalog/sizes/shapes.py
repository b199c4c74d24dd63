"""Reads data/shapes/*/*.json: the modules of each component, by name, kind and shape.

One file a component, which models share. The tables of a model of one's own are in its description
(hub/admit.py).

The tables are made by tools/shapes.py on torch's meta device; here they are plain JSON. A tensor
that a module shares with an earlier one (tied weights) is left out, so everything counts once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from quantlab.catalog.paths import PROJECT, own_descriptions
from quantlab.catalog.schema import Model
from quantlab.errors import CatalogError

__all__ = [
    "OWN",
    "ModuleShape",
    "component_shapes",
    "config_of",
    "decodes_apart",
    "from_rows",
    "listed_rows",
    "rows_of",
    "shapes_of",
    "tile_of",
]

OWN = "own:"
"""How the name of a table begins that is in a description: "own:COMPONENT:MODEL"."""

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
    in_fp32: bool = False
    """Whether its numbers stay in fp32, whatever the dtype of the component."""

    def plain_bytes(self, width: int, keeps_fp32: bool = True) -> int:
        """Bytes of all it has where nothing quantizes it, at ``width`` bytes a number.

        ``keeps_fp32`` is whether what stays in fp32 otherwise does so here.
        """
        width = 4 if self.in_fp32 and keeps_fp32 else width
        return self.numbers * width + self.fixed_bytes

    @property
    def numbers(self) -> int:
        """All floating-point numbers of the module."""
        return (prod(self.weight) if self.weight else 0) + self.others


def component_shapes(model: Model, component: str) -> tuple[ModuleShape, ...]:
    """The modules of a component, in the order of ``named_modules()``.

    Raises:
        CatalogError: the model has no such component, or its table cannot be read.
    """
    known = model.component(component)
    if known is None:
        raise CatalogError(f"{model.id} has no component {component!r:.60}")
    return shapes_of(known.shapes)


@lru_cache(maxsize=256)
def shapes_of(table: str) -> tuple[ModuleShape, ...]:
    """The modules of the table called ``table``, such as "encoders/t5-xxl".

    Raises:
        CatalogError: there is none, or it cannot be read.
    """
    return from_rows(rows_of(table), _table(table).get("in_fp32", ()))


def rows_of(table: str) -> Sequence[Sequence[Any]]:
    """The rows of a table as they stand; see ``from_rows``.

    Raises:
        CatalogError: there is none, or it cannot be read.
    """
    rows: Sequence[Sequence[Any]] = _table(table)["modules"]
    return rows


@lru_cache(maxsize=256)
def config_of(table: str) -> Mapping[str, Any]:
    """The config that a listed component was built from; empty for one of one's own.

    Raises:
        CatalogError: there is no such table, or it cannot be read.
    """
    config: Mapping[str, Any] = _table(table).get("config", {})
    return config


@lru_cache(maxsize=256)
def tile_of(table: str) -> int | None:
    """Pixels across a tile of an autoencoder's tiled decoding, None where it has none.

    Raises:
        CatalogError: there is no such table, or it cannot be read.
    """
    tile = _table(table).get("tile")
    return None if tile is None else int(tile)


@lru_cache(maxsize=256)
def decodes_apart(table: str) -> bool:
    """Whether an autoencoder can decode the pictures of a batch one after the other.

    Raises:
        CatalogError: there is no such table, or it cannot be read.
    """
    return bool(_table(table).get("slices"))


def listed_rows(cls: str) -> Iterator[Sequence[Any]]:
    """The rows of every component of class ``cls`` under data/."""
    for path in sorted((PROJECT / "data" / "shapes").glob("*/*.json")):
        with path.open(encoding="utf-8") as file:
            if json.dumps(cls) not in file.readline():  # a large file need not be read
                continue
        yield from rows_of(f"{path.parent.name}/{path.stem}")


def from_rows(
    rows: Iterable[Sequence[Any]], in_fp32: Collection[str] = ()
) -> tuple[ModuleShape, ...]:
    """Modules from rows of ``[name, kind, {tensor: shape}]``, as a table has them.

    ``in_fp32`` are names that diffusers keeps in fp32 wherever they are a part of a tensor's name.
    """
    return tuple(_module(name, kind, own, in_fp32) for name, kind, own in rows)


@lru_cache(maxsize=2)  # a table is read for its modules; of the rest little is kept
def _table(name: str) -> Mapping[str, Any]:
    if name.startswith(OWN):
        component, _, model = name.removeprefix(OWN).partition(":")
        return _described(model, component)
    try:
        path = PROJECT / "data" / "shapes" / f"{name}.json"
        table: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return table if table["modules"] else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogError(
            f"data/shapes/{name}.json: is missing or broken; python -m tools.shapes makes it"
        ) from error


def _described(model: str, component: str) -> Mapping[str, Any]:
    try:
        text = own_descriptions()[model].read_text(encoding="utf-8")
        table: Mapping[str, Any] = json.loads(text)["components"][component]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogError(f"what is known of {model} is gone; start again") from error
    return table


def _module(
    name: str, kind: str, tensors: Mapping[str, Any], in_fp32: Collection[str]
) -> ModuleShape:
    kept = any(part in in_fp32 for part in (*name.split("."), *tensors))
    own = {key: shape for key, shape in tensors.items() if isinstance(shape, list)}
    weight = tuple(own.pop("weight", ()))
    floats = sum(prod(shape) for key, shape in own.items() if ":" not in key)
    fixed = sum(
        prod(shape) * ITEM_BYTES[key.partition(":")[2]] for key, shape in own.items() if ":" in key
    )
    return ModuleShape(name, kind, weight, floats, fixed, kept)
