"""Bytes of a component's weights under a scheme, from shape tables and storage formulas.

A Linear weight that the scheme's library quantizes takes what sizes/storage.py says; everything
else, and every layer that the library is known to leave alone, takes its own width. Nothing is
loaded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import translate
from functools import lru_cache
from math import ceil

from quantlab.catalog.schema import Model, Scheme
from quantlab.catalog.sizes.shapes import ModuleShape, component_shapes, shapes_of
from quantlab.catalog.sizes.storage import IN_BLOCKS, WIDTHS, weight_bytes
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import CatalogError, InputError, PlanError
from quantlab.words.plan import DTYPE_SCHEMES, LEFT_OUT

__all__ = [
    "component_bytes",
    "find_model",
    "matching",
    "plain_bytes",
    "plan_bytes",
    "scheme_bytes",
    "shapes_bytes",
    "tensor_sizes",
]


def component_bytes(
    model: Model,
    component: str,
    scheme_id: str | None = None,
    dtype: str | None = None,
    catalog: Catalog | None = None,
) -> int:
    """Bytes of a component's weights under a scheme, tied weights once.

    ``dtype`` ("fp32" or "bf16") is that of the pipeline, the model's base dtype by default; what
    the scheme leaves alone keeps it. ``scheme_id`` may be a dtype too, or None.

    Raises:
        PlanError: an unknown scheme, or one whose way of storing is not known.
        CatalogError: there is no shape table for the model or the component.
    """
    name = dtype or model.base_dtype
    if scheme_id in DTYPE_SCHEMES or scheme_id is None:
        return plain_bytes(model, component, WIDTHS[scheme_id or name])
    catalog = catalog or load_catalog()
    if model is not catalog.models.get(model.id):
        return scheme_bytes(model, component, _scheme(scheme_id, catalog), WIDTHS[name])
    return _known_bytes(catalog, model.id, component, scheme_id, WIDTHS[name])


def plan_bytes(
    model_id: str,
    parts: Mapping[str, str],
    dtype: str | None = None,
    catalog: Catalog | None = None,
) -> dict[str, int]:
    """Bytes of each component's weights, in the pipeline's order; ``parts`` as in a plan.

    What a plan leaves out is not among them.

    Raises:
        InputError: an unknown model.
        PlanError: an unknown scheme, or one whose way of storing is not known.
    """
    catalog = catalog or load_catalog()
    model = find_model(model_id, catalog)
    return {
        c.name: component_bytes(model, c.name, parts.get(c.name), dtype, catalog)
        for c in model.components
        if parts.get(c.name) != LEFT_OUT
    }


def find_model(model_id: str, catalog: Catalog) -> Model:
    """The model called ``model_id``.

    Raises:
        InputError: there is none.
    """
    model = catalog.models.get(model_id)
    if model is None:
        raise InputError("model", f"unknown model {model_id[:40]!r}")
    return model


@lru_cache(maxsize=2048)
def _known_bytes(
    catalog: Catalog, model_id: str, component: str, scheme_id: str, width: int
) -> int:
    """Kept, because pick asks for every scheme of a catalogue each time."""
    scheme = _scheme(scheme_id, catalog)
    return scheme_bytes(catalog.models[model_id], component, scheme, width)


def _scheme(scheme_id: str, catalog: Catalog) -> Scheme:
    scheme = catalog.schemes.get(scheme_id)
    if scheme is None:
        raise PlanError(f"unknown scheme {scheme_id[:40]!r}")
    return scheme


def plain_bytes(model: Model, component: str, width: int) -> int:
    """Bytes of a component that nothing quantizes, at ``width`` bytes a number.

    Raises:
        CatalogError: the model has no such component, or its table cannot be read.
    """
    known = model.component(component)
    if known is None:
        raise CatalogError(f"{model.id} has no component {component!r:.60}")
    return _plain_bytes(known.shapes, width)


@lru_cache(maxsize=256)
def _plain_bytes(table: str, width: int) -> int:
    return sum(module.plain_bytes(width) for module in shapes_of(table))


def scheme_bytes(model: Model, component: str, scheme: Scheme, width: int) -> int:
    """Bytes of a component under ``scheme``; what it leaves alone has ``width`` bytes a number.

    Where it is read from a published file whose size is known, that is it: files named for a type
    hold some tensors in larger ones (Q4_K_M of Z-Image is 44 % larger than Q4_K alone).

    Raises:
        PlanError: how the scheme stores weights is not known.
    """
    listed = model.gguf_with(scheme.id) if component == model.denoiser else None
    if listed is not None and scheme.id in listed.sizes:
        return listed.sizes[scheme.id]
    return sum(count * size for count, size, _ in _modules(model, component, scheme, width))


def tensor_sizes(
    model: Model, component: str, scheme_id: str | None, dtype: str | None, catalog: Catalog
) -> Iterator[tuple[int, int]]:
    """How many modules of a component have a largest tensor of how many bytes; as
    ``component_bytes`` counts, but for published files, whose tensors are not known one by one.

    Raises:
        PlanError, CatalogError: as ``component_bytes``.
    """
    width = WIDTHS[dtype or model.base_dtype]
    if scheme_id is None or scheme_id in DTYPE_SCHEMES:
        width = WIDTHS[scheme_id] if scheme_id else width
        yield from ((1, m.plain_bytes(width)) for m in component_shapes(model, component))
        return
    scheme, known = _scheme(scheme_id, catalog), model.component(component)
    storage = scheme.storage_in(known.cls if known else "")
    apart = storage is not None and storage.rule not in IN_BLOCKS
    for count, size, numbers in _modules(model, component, scheme, width):
        alone = numbers * storage.bits / 8 if storage and apart and numbers else size
        yield count, min(size, ceil(alone))


def _modules(
    model: Model, component: str, scheme: Scheme, width: int
) -> Iterator[tuple[int, int, int]]:
    """(how many, bytes, numbers of the Linear weight or 0) of modules that are alike."""
    known = model.component(component)
    shapes = component_shapes(model, component)  # raises where there is no such component
    keeps = model.gguf_keeps(scheme.id) if scheme.from_file else ()
    width = WIDTHS.get(scheme.computes_in, width)
    kept = (*keeps, *model.family.kept(component))
    if known is None or scheme.layers:
        yield 1, shapes_bytes(shapes, known.cls if known else "", scheme, width, kept), 0
        return
    alike = _alike(known.shapes, scheme.left_alone(known.cls, kept))
    for (module, alone), count in alike.items():
        quantized = module.kind == "linear" and not alone
        numbers = module.numbers - module.others if quantized else 0
        yield count, _module_bytes(module, scheme, known.cls, width, alone), numbers


@lru_cache(maxsize=256)
def _alike(table: str, patterns: tuple[str, ...]) -> Mapping[tuple[ModuleShape, bool], int]:
    """How many modules of a table are the same but for their names, and whether ``patterns`` leave
    them alone: hundreds of modules are some twenty kinds, and schemes ask for them alike."""
    alone = matching(patterns).fullmatch
    found = Counter(
        ((m.kind, m.weight, m.others, m.fixed_bytes, m.in_fp32), alone(m.name) is not None)
        for m in shapes_of(table)
    )
    return {(ModuleShape("", *alike), left): count for (alike, left), count in found.items()}


def shapes_bytes(
    shapes: Iterable[ModuleShape], cls: str, scheme: Scheme, width: int, keeps: tuple[str, ...] = ()
) -> int:
    """Bytes of a component of class ``cls`` with these modules; ``keeps`` adds to what is skipped.

    Raises:
        PlanError: how the scheme stores weights is not known.
    """
    skipped = matching(scheme.left_alone(cls, keeps))
    return sum(
        _module_bytes(module, scheme, cls, width, skipped.fullmatch(module.name) is not None)
        for module in shapes
    )


def _module_bytes(
    module: ModuleShape, scheme: Scheme, cls: str, width: int, left_alone: bool
) -> int:
    plain = module.plain_bytes(width, scheme.keeps_fp32)
    if scheme.layers:
        held = scheme.layers.get(module.name)
        return plain if held is None else _module_bytes(module, held, cls, width, left_alone)
    storage = scheme.storage_in(cls)
    if storage is None:
        raise PlanError(f"how {scheme.id} stores weights is not known")
    if not module.weight or module.in_fp32 or left_alone:
        return plain
    if storage.rule == "cast" and module.kind in ("linear", "conv", "embedding"):
        return round(module.numbers * storage.bits / 8) + module.fixed_bytes
    if module.kind != "linear":
        return plain
    rows, columns = module.weight
    stored = weight_bytes(storage, rows, columns, width)
    return plain if stored is None else stored + module.others * width + module.fixed_bytes


@lru_cache(maxsize=64)
def matching(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What fits names of modules that any of the fnmatch ``patterns`` names; without any, none."""
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")
