"""Reads data/models.toml: the pipelines that quantlab knows by name.

Keys that only sizes/predict.py or the loader read (``EXTRA``) are kept as they stand in
``Model.extra``; everything else is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from quantlab.catalog.read.toml import Table, read_toml
from quantlab.catalog.schema import LIBRARIES, Component, Defaults, Limits, Model, Trained
from quantlab.families import family_of, pipelines

__all__ = ["EXTRA", "read_models"]

EXTRA = (
    "configs",
    "prequantized",
    "gguf_files",
    "files",
    "shapes",
    "notes",
    "sources",
    "memory",
    "loras",
)
"""Optional keys of a model that are kept as raw mappings."""


def read_models(root: Path) -> dict[str, Model]:
    """The models of ``root``/data/models.toml by id, in the file's order.

    Raises:
        CatalogError: the file breaks the schema.
    """
    top = read_toml(root / "data" / "models.toml", root)
    models: dict[str, Model] = {}
    for table in top.tables("models"):
        model = _model(table)
        if model.id in models:
            raise table.fail("id", f"{model.id!r} is there twice")
        models[model.id] = model
    top.done()
    return models


def _model(table: Table) -> Model:
    components = tuple(_component(item) for item in table.tables("components"))
    pipeline = table.choice("pipeline", pipelines())
    denoiser = family_of(pipeline).denoiser
    if not components or components[0].name != denoiser:
        raise table.fail("components", f"expected the {denoiser} first")
    model = Model(
        id=table.text("id"),
        name=table.text("name"),
        source=table.text("source"),
        local=table.get("local", bool),
        revision=table.text("revision", ""),
        licence=table.text("licence"),
        gated=table.get("gated", bool),
        pipeline=pipeline,
        base_dtype=cast("Any", table.choice("base_dtype", ("fp32", "bf16"))),
        guided=table.get("guided", bool),
        components=components,
        defaults=_defaults(table.table("defaults")),
        limits=_limits(table.table("limits")),
        extra=_extra(table),
        trained=_trained(table.table("trained")) if table.has("trained") else None,
    )
    table.done()
    return model


def _extra(table: Table) -> Mapping[str, Any]:
    return {key: table.get(key, object) for key in EXTRA if table.has(key)}


def _component(table: Table) -> Component:
    library = cast("Any", table.choice("library", LIBRARIES))
    component = Component(table.text("name"), library, table.text("cls"))
    table.done()
    return component


def _defaults(table: Table) -> Defaults:
    defaults = Defaults(
        steps=table.get("steps", int),
        guidance=table.get("guidance", float),
        width=table.get("width", int),
        height=table.get("height", int),
        sequence_length=table.get("sequence_length", int),
    )
    table.done()
    return defaults


def _trained(table: Table) -> Trained:
    trained = Trained(table.get("sequence_length", int), table.get("subject_needs", int))
    if trained.subject_needs > trained.sequence_length:
        raise table.fail("subject_needs", "is more than sequence_length")
    table.done()
    return trained


def _limits(table: Table) -> Limits:
    names = ("max_steps", "min_size", "max_size", "size_multiple", "max_sequence_length")
    limits = Limits(**{name: table.get(name, int) for name in names})
    table.done()
    return limits
