"""Reads data/methods/*.toml and data/models/*.toml into frozen values, and refuses what is wrong.

The schema is closed: an unknown or missing key, a bad value, an id used twice or a claim without
a source stops loading with the file, the key and what was expected. Whether a claim is true is
not known here; tests hold the files against the installed libraries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from quantlab.catalog.facts import NOTHING_KNOWN, Offload
from quantlab.catalog.models.reader import read_models
from quantlab.catalog.own.kept import read_own
from quantlab.catalog.paths import PROJECT, own_descriptions
from quantlab.catalog.read.facts import (
    read_flags,
    read_keeping,
    read_language_model,
    read_mixing,
    read_offload,
    read_texts,
)
from quantlab.catalog.read.mixes import read_mixes
from quantlab.catalog.read.schemes import (
    read_cells,
    read_id,
    read_merit,
    read_scheme,
    read_skip,
    read_trap,
)
from quantlab.catalog.read.toml import Table, read_toml
from quantlab.catalog.schema import BitRange, Method, Model, Scheme, Source
from quantlab.errors import CatalogError
from quantlab.words.plan import Plan

__all__ = ["ROOT", "Catalog", "load_catalog"]

ROOT = PROJECT
"""The folder that holds data/ of this project."""

_DATE = re.compile(r"20\d\d-(0[1-9]|1[0-2])(-[0-3]\d)?")
_SPDX = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")
_BITS = re.compile(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?")


@dataclass(frozen=True, eq=False)
class Catalog:
    """Everything that exists: methods, their schemes, and models, each by id.

    Compared and hashed by identity, so that what is derived from one can be cached.
    """

    methods: Mapping[str, Method]
    schemes: Mapping[str, Scheme]
    models: Mapping[str, Model]
    plain_offload: Offload = NOTHING_KNOWN
    """Which group offload a component survives that nothing quantizes."""

    def methods_of(self, schemes: Iterable[str]) -> tuple[Method, ...]:
        """The methods of these schemes, each once; what is no scheme of a method has none."""
        known = (self.schemes[scheme].method for scheme in schemes if scheme in self.schemes)
        return tuple(self.methods[method] for method in dict.fromkeys(known))

    def schemes_of(self, plan: Plan) -> tuple[Scheme, ...]:
        """The schemes of a plan's components, in its order; dtypes are none."""
        return tuple(self.schemes[name] for _, name in plan.parts if name in self.schemes)

    def offload_of(self, scheme: Scheme) -> Offload:
        """Which group offload the tensors of ``scheme`` survive."""
        return scheme.offload or self.methods[scheme.method].offload


def load_catalog(folder: Path | None = None) -> Catalog:
    """The catalogue of the files under ``folder``/data; None takes the project's own.

    The project's own has the models of one's own too that were named at start-up.

    Raises:
        CatalogError: a file breaks the schema; the message names file, key and what was expected.
    """
    own = () if folder is not None else tuple(own_descriptions().items())
    return _load(folder or ROOT, own)


@lru_cache(maxsize=8)
def _load(root: Path, own: tuple[tuple[str, Path], ...]) -> Catalog:
    """Kept as long as the same models of one's own are named."""
    methods: dict[str, Method] = {}
    schemes: dict[str, Scheme] = {}
    for path in sorted((root / "data" / "methods").glob("*.toml")):
        table = read_toml(path, root)
        method = _method(table)
        if method.id != path.stem:
            raise table.fail("id", f"{method.id!r} must be the file's name, {path.stem!r}")
        methods[method.id] = method
        for index, scheme in enumerate(method.schemes):
            if scheme.id in schemes:
                owner = schemes[scheme.id].method
                raise table.fail(f"schemes[{index}].id", f"{scheme.id!r} is taken by {owner}")
            schemes[scheme.id] = scheme
    if not methods:
        raise CatalogError("data/methods: no *.toml file found; expected one file a method")
    schemes |= read_mixes(root, methods, schemes)
    models = read_models(root) | read_own(own)
    return Catalog(
        methods=MappingProxyType(methods),
        schemes=MappingProxyType(schemes),
        models=MappingProxyType(models),
        plain_offload=read_offload(read_toml(root / "data" / "offload.toml", root)),
    )


def _method(table: Table) -> Method:
    sources = _sources(table.table("sources"))
    method_id = read_id(table)
    unreachable = read_texts(table.table("unreachable"))
    skip, spare = read_skip(table.table("skip")), read_skip(table.table("spare"))
    keeping = read_keeping(table.table("keeping")) if table.has("keeping") else None
    language_model = table.table("language_model") if table.has("language_model") else None
    method = Method(
        id=method_id,
        name=table.text("name"),
        summary=table.text("summary"),
        library=_url(table, "library"),
        packages=table.texts("packages"),
        bits=tuple(_bits(text, table) for text in table.texts("bits")),
        bits_source=table.choice("bits_source", tuple(sources)),
        licence=_licence(table),
        licence_source=table.choice("licence_source", tuple(sources)),
        cells=read_cells(table.table("capabilities"), sources, complete=True),
        schemes=tuple(
            read_scheme(item, method_id, sources, unreachable, keeping, skip, spare)
            for item in table.tables("schemes")
        ),
        sources=sources,
        offload=read_offload(table.table("offload")) if table.has("offload") else NOTHING_KNOWN,
        loads_on_device=table.get("loads_on_device", bool, False),
        dynamo=read_flags(table.table("dynamo")),
        traps=tuple(read_trap(item, sources) for item in table.tables("traps")),
        merits=tuple(read_merit(item, sources) for item in table.tables("merits")),
        imports=read_texts(table.table("imports")),
        rules_of=read_texts(table.table("rules_of")),
        language_model=read_language_model(language_model) if language_model else None,
        mixing=read_mixing(table.table("mix")) if table.has("mix") else None,
    )
    table.done()
    if not method.bits:
        raise table.fail("bits", 'expected at least one of "4", "1-8" and the like')
    for index, scheme in enumerate(method.schemes):
        if not any(scheme.bits in span for span in method.bits):
            spans = ", ".join(map(str, method.bits))
            expected = f"{scheme.bits:g} is not among the method's bits ({spans})"
            raise table.fail(f"schemes[{index}].bits", expected)
    return method


def _sources(table: Table) -> dict[str, Source]:
    found = {}
    for key in table.names():
        item = table.table(key)
        found[key] = Source(item.text("title"), _url(item, "url"), item.text("checked"))
        if not _DATE.fullmatch(found[key].checked):
            raise item.fail("checked", f"{found[key].checked!r} is not a date such as 2026-11-21")
        item.done()
    return found


def _licence(table: Table) -> str:
    text = table.text("licence")
    if not _SPDX.fullmatch(text):
        raise table.fail("licence", f'{text!r} is not an SPDX expression such as "Apache-2.0"')
    return text


def _url(table: Table, key: str) -> str:
    text = table.text(key)
    if not text.startswith("https://"):
        raise table.fail(key, f"{text!r} does not start with https://")
    return text


def _bits(text: str, table: Table) -> BitRange:
    found = _BITS.fullmatch(text)
    low, high = (float(found[1]), float(found[2] or found[1])) if found else (0.0, -1.0)
    if not 0 < low <= high <= 32:
        raise table.fail("bits", f'{text!r} is not like "4", "1-8" or "1.58"')
    return BitRange(low, high)
