"""What a pipeline loads and no picture from text depends on, by the patterns of a model's file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from quantlab.catalog.schema import Component, Model
from quantlab.catalog.sizes.shapes import shapes_of
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import matching
from quantlab.words.units import size

__all__ = ["idle_bytes", "to_know"]


def idle_bytes(model: Model) -> Mapping[str, tuple[int, int]]:
    """Bytes that idle, and of all, in the model's base dtype, of each component that has such."""
    width = WIDTHS[model.base_dtype]
    found = {c.name: (_bytes(c, width), _bytes(c, width, "*")) for c in model.components}
    return {name: (idle, whole) for name, (idle, whole) in found.items() if idle}


def _bytes(component: Component, width: int, *patterns: str) -> int:
    return _counted(component.shapes, patterns or component.idle, width)


@lru_cache(maxsize=256)
def _counted(table: str, patterns: tuple[str, ...], width: int) -> int:
    named = matching(patterns)
    return sum(m.plain_bytes(width) for m in shapes_of(table) if named.fullmatch(m.name))


def to_know(model: Model) -> Iterator[str]:
    """What people should know of the model, in whole sentences; what idles with its size."""
    yield from model.notes
    said = [
        f"{size(idle)} of the {model.family.label(name)}'s {size(whole)}"
        for name, (idle, whole) in idle_bytes(model).items()
    ]
    if said:
        yield (
            f"Idle where a picture is made from text alone, in {model.base_dtype}: "
            f"{', '.join(said)}; loaded and counted all the same."
        )
    for component in model.components:
        if component.enough_layers is not None:
            left = size(_beyond(component, component.enough_layers, WIDTHS[model.base_dtype]))
            yield (
                f"{left} of that stays away where the {model.family.label(component.name)} is "
                f"loaded with num_hidden_layers={component.enough_layers} in the config that "
                f"transformers' from_pretrained takes; the pipeline reads the same."
            )


def _beyond(component: Component, layers: int, width: int) -> int:
    """Bytes of the idle layers of a text encoder from number ``layers`` on."""
    idle, numbered = matching(component.idle), re.compile(r"(?:.*\.)?layers\.(\d+)\..*")
    return sum(
        module.plain_bytes(width)
        for module in shapes_of(component.shapes)
        if idle.fullmatch(module.name)
        and (found := numbered.fullmatch(module.name))
        and int(found[1]) >= layers
    )
