"""Reads data/models/*.toml under a closed schema; the words are in schema.py.

Every field is asked for by name and an unknown one is an error, so a typing mistake in a file
cannot pass for a fact. ``covers`` and ``unchecked`` must name fields that the file has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from quantlab.catalog.models.published import PLACEMENTS, READINGS, Published
from quantlab.catalog.models.schema import (
    COMMERCIAL,
    DTYPES,
    GATES,
    GUIDANCE,
    LIBRARIES,
    UNRANKED,
    Component,
    Defaults,
    GgufFiles,
    Licence,
    Limits,
    Lora,
    Model,
    Prequantized,
    Source,
    Trained,
)
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.toml import Table, read_toml
from quantlab.errors import CatalogError
from quantlab.families import family_of, pipelines

__all__ = ["read_models"]

DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?")
UNITS = {"GB": 10**9, "GiB": 2**30}


def read_models(root: Path) -> dict[str, Model]:
    """The models of ``root``/data/models by id, in the order of their ranks.

    Raises:
        CatalogError: a file breaks the schema, or there is none.
    """
    models = {}
    place = "" if root == PROJECT else f"{root / 'data' / 'shapes'}/"
    for path in sorted((root / "data" / "models").glob("*.toml")):
        top = read_toml(path, root)
        values = top.take_rest()
        table = top.child("", values)
        model = _model(table, frozenset(_paths(values)), place)
        if model.id != path.stem:
            raise table.fail("id", f"{model.id!r} is not the file's name")
        models[model.id] = model
    if not models:
        raise CatalogError("data/models: has no files")
    return dict(sorted(models.items(), key=lambda item: (item[1].rank, item[0])))


def _model(table: Table, paths: frozenset[str], place: str) -> Model:
    """``place`` is put before the names of shape tables that are not the project's own."""
    repo, folder = table.text("repo", ""), table.text("folder", "")
    if bool(repo) == bool(folder):
        raise table.fail("repo", "expected either repo or folder")
    pipeline = table.choice("pipeline", pipelines())
    family = family_of(pipeline)
    table.choice("family", (family.id,))
    model = Model(
        id=table.text("id"),
        name=table.text("name"),
        rank=table.get("rank", int, UNRANKED),
        source=repo or folder,
        local=bool(folder),
        pipeline=pipeline,
        base_dtype=cast("Any", table.choice("base_dtype", DTYPES)),
        licence=_licence(table.table("licence")),
        gated=cast("Any", table.choice("gated", GATES)),
        distilled=table.get("distilled", bool),
        guidance=cast("Any", table.choice("guidance", GUIDANCE)),
        components=_components(table.table("components"), family.denoiser, place),
        defaults=_defaults(table.table("defaults")),
        limits=_limits(table.table("limits")),
        revision=table.text("revision", "main"),
        variant=table.text("variant", ""),
        trained=_trained(table.table("trained")) if table.has("trained") else None,
        loras=_loras(table.table("loras")),
        prequantized=tuple(_prequantized(item) for item in table.tables("prequantized")),
        gguf=tuple(_gguf(item) for item in table.tables("gguf")),
        published=tuple(_published(item) for item in table.tables("published")),
        notes=table.texts("notes", []),
        sources=tuple(_source(item, paths) for item in table.tables("sources")),
        unchecked=_known(table, "unchecked", paths),
    )
    table.done()
    return model


def _licence(table: Table) -> Licence:
    licence = Licence(
        id=table.text("id"),
        name=table.text("name"),
        commercial=cast("Any", table.choice("commercial", COMMERCIAL)),
        url=table.text("url", ""),
    )
    table.done()
    return licence


def _components(table: Table, denoiser: str, place: str) -> tuple[Component, ...]:
    found = tuple(_component(name, table.table(name), place) for name in table.names())
    if not found or found[0].name != denoiser or found[0].optional:
        raise table.fail("", f"expected the {denoiser} first")
    table.done()
    return found


def _component(name: str, table: Table, place: str) -> Component:
    component = Component(
        name=name,
        library=cast("Any", table.choice("library", LIBRARIES)),
        cls=table.text("cls"),
        shapes=place + table.text("shapes"),
        optional=table.get("optional", bool, False),
        idle=table.texts("idle", []),
        repo=table.text("repo", ""),
        largest_file=_number(table, "largest_file"),
    )
    table.done()
    return component


def _number(table: Table, key: str) -> int | None:
    return table.get(key, int) if table.has(key) else None


def _decimal(table: Table, key: str) -> float | None:
    return table.get(key, float) if table.has(key) else None


def _defaults(table: Table) -> Defaults:
    true_cfg_scale = _decimal(table, "true_cfg_scale")
    guidance = _decimal(table, "guidance")
    defaults = Defaults(
        steps=table.get("steps", int),
        width=table.get("width", int),
        height=table.get("height", int),
        sequence_length=table.get("sequence_length", int),
        guidance=(true_cfg_scale or 0.0) if guidance is None else guidance,
        true_cfg_scale=true_cfg_scale,
        frames=_number(table, "frames"),
    )
    table.done()
    return defaults


def _limits(table: Table) -> Limits:
    names = ("max_steps", "min_size", "max_size", "size_multiple", "max_sequence_length")
    limits = Limits(
        **{name: table.get(name, int) for name in names},
        max_references=table.get("max_references", int, 0),
        max_frames=_number(table, "max_frames"),
        max_guidance=table.get("max_guidance", float, Limits.max_guidance),
    )
    if limits.min_size % limits.size_multiple or limits.max_size % limits.size_multiple:
        raise table.fail("size_multiple", "does not divide min_size and max_size")
    table.done()
    return limits


def _trained(table: Table) -> Trained:
    trained = Trained(table.get("sequence_length", int), table.get("subject_needs", int))
    if trained.subject_needs > trained.sequence_length:
        raise table.fail("subject_needs", "is more than sequence_length")
    table.done()
    return trained


def _loras(table: Table) -> Mapping[str, Lora]:
    loras = {}
    for name in table.names():
        lora = table.table(name)
        loras[name] = Lora(lora.text("folder"), lora.text("about"))
        lora.done()
    return loras


def _texts_by_name(table: Table) -> Mapping[str, str]:
    return {name: table.text(name) for name in table.names()}


def _prequantized(table: Table) -> Prequantized:
    found = Prequantized(
        repo=table.text("repo"),
        url=table.text("url"),
        checked=_date(table),
        schemes=_texts_by_name(table.table("schemes")),
        described=_texts_by_name(table.table("described")),
    )
    if not found.schemes and not found.described:
        raise table.fail("schemes", "expected schemes or described, by component")
    table.done()
    return found


def _gguf(table: Table) -> GgufFiles:
    sizes = table.table("sizes")
    found = GgufFiles(
        repo=table.text("repo"),
        url=table.text("url"),
        checked=_date(table),
        keeps=table.texts("keeps", []),
        files=_texts_by_name(table.table("files")),
        sizes={name: sizes.get(name, int) for name in sizes.names()},
    )
    table.done()
    return found


def _published(table: Table) -> Published:
    said = table.text("peak", "")
    found = Published(
        plan=table.text("plan"),
        placement=cast("Any", table.choice("placement", PLACEMENTS)),
        gpu=table.text("gpu"),
        width=table.get("width", int),
        height=table.get("height", int),
        steps=table.get("steps", int),
        tool=table.text("tool"),
        url=table.text("url"),
        checked=_date(table),
        said=said,
        peak_bytes=_bytes(table, said) if said else None,
        reading=cast("Any", table.choice("reading", READINGS, "unknown")),
        cast_there=table.get("cast_there", bool, False),
        total_s=_decimal(table, "total_s"),
        denoise_s=_decimal(table, "denoise_s"),
        script_s=_decimal(table, "script_s"),
        note=table.text("note", ""),
        explained=table.text("explained", ""),
    )
    table.done()
    return found


def _bytes(table: Table, said: str) -> int:
    number, _, unit = said.partition(" ")
    if unit not in UNITS or not re.fullmatch(r"\d+(\.\d+)?", number):
        raise table.fail("peak", f"expected a number and GB or GiB, found {said!r:.60}")
    return round(float(number) * UNITS[unit])


def _source(table: Table, paths: frozenset[str]) -> Source:
    source = Source(
        about=table.text("about"),
        url=table.text("url"),
        checked=_date(table),
        covers=_known(table, "covers", paths),
    )
    table.done()
    return source


def _date(table: Table) -> str:
    checked = table.text("checked")
    if not DATE.fullmatch(checked):
        raise table.fail("checked", f"expected a date as 2026-11-26, found {checked!r:.60}")
    return checked


def _known(table: Table, key: str, paths: frozenset[str]) -> tuple[str, ...]:
    named = table.texts(key, [])
    for path in named:
        if path not in paths:
            raise table.fail(key, f"{path!r:.60} is no field of this file")
    return named


def _paths(values: Mapping[str, Any], outer: str = "") -> Iterator[str]:
    """The path of every field, tables included."""
    for key, value in values.items():
        yield outer + key
        if isinstance(value, dict):
            yield from _paths(value, f"{outer}{key}.")
