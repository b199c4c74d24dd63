"""What a pipeline loads and no picture from text depends on, by the patterns of a model's file.

A trimmed plan lets go of it once it is read (lab/load/trim.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from quantlab.catalog.schema import Component, Model, Scheme
from quantlab.catalog.sizes.shapes import ModuleShape, shapes_of
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import matching, shapes_bytes
from quantlab.words.plan import TRIMMED
from quantlab.words.units import size

__all__ = ["idle_bytes", "idle_stored", "passed_by", "to_know"]


def idle_bytes(model: Model) -> Mapping[str, tuple[int, int]]:
    """Bytes that idle, and of all, in the model's base dtype, of each component that has such."""
    width = WIDTHS[model.base_dtype]
    found = {c.name: (_bytes(c, width), _bytes(c, width, "*")) for c in model.components}
    return {name: (idle, whole) for name, (idle, whole) in found.items() if idle}


def _bytes(component: Component, width: int, *patterns: str) -> int:
    return _counted(component.shapes, patterns or component.idle, width)


@lru_cache(maxsize=256)
def _counted(table: str, patterns: tuple[str, ...], width: int) -> int:
    return sum(module.plain_bytes(width) for module in _named(table, patterns))


@lru_cache(maxsize=256)
def _named(table: str, patterns: tuple[str, ...]) -> tuple[ModuleShape, ...]:
    fits = matching(patterns)
    return tuple(module for module in shapes_of(table) if fits.fullmatch(module.name))


def idle_stored(model: Model, component: Component, scheme: Scheme | None, width: int) -> int:
    """Bytes of what idles of a component as ``scheme`` stores it, ``width`` of a plain number.

    Raises:
        PlanError: how the scheme stores weights is not known.
    """
    if not component.idle:
        return 0
    if scheme is None:
        return _counted(component.shapes, component.idle, width)
    keeps = model.gguf_keeps(scheme.id) if scheme.from_file else ()
    kept = (*keeps, *model.family.kept(component.name))
    width = WIDTHS.get(scheme.computes_in, width)
    idle = _named(component.shapes, component.idle)
    return shapes_bytes(idle, component.cls, scheme, width, kept)


def passed_by(component: Component) -> int:
    """Numbers of the idle layers that run all the same, unless they are let go of: those of a stack
    of which other layers are used. A vision tower never runs where there is text alone."""
    idle = set(_named(component.shapes, component.idle)) if component.idle else set()
    used = {_stack(module.name) for module in shapes_of(component.shapes) if module not in idle}
    return sum(m.numbers for m in idle if (stack := _stack(m.name)) and stack in used)


def _stack(name: str) -> str:
    """What is before the first number of a module's name; "" where there is none."""
    parts = name.split(".")
    at = next((n for n, part in enumerate(parts) if part.isdecimal()), 0)
    return ".".join(parts[:at])


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
            f"{', '.join(said)}; loaded and counted all the same, unless a plan ends in {TRIMMED}: "
            f"then it is let go of once it is read, and the picture is the same to the bit."
        )
