"""Reads the ``[[schemes]]`` of a method's file, and the cells that methods and schemes share.

Keys are those of schema.Scheme; a table with a ``path`` is an object to build (schema.Spec).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from quantlab.catalog.columns import COLUMNS as ROWS
from quantlab.catalog.facts import Keeping
from quantlab.catalog.read.facts import read_eager, read_offload, read_texts
from quantlab.catalog.read.toml import Table
from quantlab.catalog.schema import (
    COLUMNS,
    DTYPE_SCHEMES,
    HARDWARE,
    SUPPORT,
    Cell,
    LoraRule,
    Merit,
    Scheme,
    Source,
    Spec,
    Storage,
    Support,
    Trap,
)

__all__ = ["read_cells", "read_id", "read_merit", "read_scheme", "read_skip", "read_trap"]

_KEBAB = re.compile(r"[a-z0-9]+(?:-[a-z0-9_]+)*")
_CAPABILITY = re.compile(r"\d+\.\d\+?|[A-Z]+\d+")
_REQUIRES = re.compile(r"[a-z0-9_-]+(>=\d+(\.\d+)*)?")


def read_id(table: Table, key: str = "id") -> str:
    """The id under ``key`` of a table, in kebab-case."""
    text = table.text(key)
    if not _KEBAB.fullmatch(text):
        raise table.fail(key, f"{text!r} is not in kebab-case")
    return text


def read_cells(table: Table, sources: Mapping[str, Source], *, complete: bool) -> dict[str, Cell]:
    """Cells by column; all columns but the optional ones of diffusers where ``complete``."""
    cells = {}
    for row in ROWS:
        column, needed = row.id, complete and row.always
        if needed or table.has(column):
            if not table.has(column):
                raise table.fail(column, "is missing; expected {value, source}")
            cells[column] = _cell(table.table(column), sources)
    table.done(COLUMNS)
    return cells


def _cell(table: Table, sources: Mapping[str, Source]) -> Cell:
    value = cast("Support", table.choice("value", SUPPORT))
    source = sources[table.choice("source", tuple(sources))]
    note, capability = table.text("note", ""), table.texts("capability", [])
    then = cast("Support", table.choice("in_2024", SUPPORT)) if table.has("in_2024") else None
    changed = table.text("changed") if then is not None else ""
    table.done()
    if value == "partial" and not note:
        raise table.fail("note", "is missing; a partial cell says what works and what does not")
    if then == value:
        raise table.fail("in_2024", f"{then!r} is what it is today; leave it away")
    if wrong := [text for text in capability if not _CAPABILITY.fullmatch(text)]:
        raise table.fail("capability", f'{wrong[0]!r} is not like "8.9", "8.9+" or "CDNA3"')
    return Cell(value, source.title, source.checked, note, source.url, capability, then, changed)


def read_trap(table: Table, sources: Mapping[str, Source]) -> Trap:
    """One of a method's ``[[traps]]``."""
    source = sources[table.choice("source", tuple(sources))]
    trap = Trap(
        **_on_hardware(table, source),
        eager=table.get("eager", bool, False),
        builds=table.get("builds", bool, False),
    )
    table.done()
    return trap


def read_merit(table: Table, sources: Mapping[str, Source]) -> Merit:
    """One of a method's ``[[merits]]``."""
    merit = Merit(**_on_hardware(table, sources[table.choice("source", tuple(sources))]))
    table.done()
    return merit


def _on_hardware(table: Table, source: Source) -> dict[str, Any]:
    capability = table.text("capability", "")
    if capability and not _CAPABILITY.fullmatch(capability):
        raise table.fail("capability", f'{capability!r} is not like "8.9", "8.9+" or "CDNA3"')
    return {
        "about": table.text("about"),
        "source": source.title,
        "checked": source.checked,
        "hardware": table.choice("hardware", HARDWARE),
        "schemes": table.texts("schemes"),
        "capability": capability,
    }


def read_scheme(
    table: Table,
    method: str,
    sources: Mapping[str, Source],
    unreachable: Mapping[str, str],
    keeping: Keeping | None,
    skip: Mapping[str, tuple[str, ...]],
    spare: Mapping[str, tuple[str, ...]],
) -> Scheme:
    """One scheme of ``method``, the last four as in ``Scheme``: ``skip`` where it has none,
    ``spare`` for the component classes that its own does not name.

    Raises:
        CatalogError: a key is unknown, missing or wrong.
    """
    scheme_id, stored = read_id(table), table.table("stored_in")
    scheme = Scheme(
        id=scheme_id,
        method=method,
        name=table.text("name"),
        bits=table.get("bits", float),
        way=read_id(table, "way") if table.has("way") else None,
        diffusers=_spec(table.table("diffusers")) if table.has("diffusers") else None,
        transformers=_spec(table.table("transformers")) if table.has("transformers") else None,
        skip=read_skip(table.table("skip")) if table.has("skip") else skip,
        spare={**spare, **read_skip(table.table("spare"))},
        more=_more(table.table("more")),
        stored_in={c: _storage(stored.table(c)) for c in stored.names()},
        keeping=keeping,
        holds=read_texts(table.table("holds")),
        narrow=read_texts(table.table("narrow")),
        storage=_storage(table.table("storage")) if table.has("storage") else None,
        requires=table.texts("requires", []),
        on_cpu=cast("Any", table.choice("on_cpu", ("diffusers", "library", "no"))),
        capabilities=read_cells(table.table("capabilities"), sources, complete=False),
        simple=_simple(table.table("simple")) if table.has("simple") else None,
        note=table.text("note", ""),
        from_file=table.get("from_file", bool, False),
        written_with=table.texts("written_with", []),
        eager=read_eager(table.table("eager"), scheme_id) if table.has("eager") else None,
        offload=read_offload(table.table("offload")) if table.has("offload") else None,
        only=table.texts("only", []),
        unreachable=unreachable,
        library_way=read_id(table, "library_way") if table.has("library_way") else None,
        lora=_lora(table.table("lora"), sources) if table.has("lora") else None,
        computes_in=table.choice("computes_in", DTYPE_SCHEMES) if table.has("computes_in") else "",
        keeps_fp32=table.get("keeps_fp32", bool, True),
        emulated=table.get("emulated", bool, False),
        flat_inputs=table.get("flat_inputs", bool, False),
        draws=table.get("draws", bool, False),
        timing=table.text("timing", "untimed"),
    )
    table.done()
    _hold_together(scheme, table)
    return scheme


def _hold_together(scheme: Scheme, table: Table) -> None:
    """Refuse a scheme whose keys do not go together; ``table`` is what it was read from."""
    for key, texts in (("requires", scheme.requires), ("written_with", scheme.written_with)):
        if wrong := [text for text in texts if not _REQUIRES.fullmatch(text)]:
            raise table.fail(key, f'{wrong[0]!r} is not like "compiler" or "cuda>=8.9"')
    if scheme.spare and scheme.keeping is None:
        raise table.fail("spare", "its method does not say how it is told to: keeping is missing")
    if (scheme.on_cpu == "library") != (scheme.library_way is not None):
        raise table.fail("library_way", 'goes with on_cpu = "library", and only with that')
    if not scheme.loadable and not scheme.note:
        raise table.fail("note", "is missing; a scheme that cannot be loaded says why")


def read_skip(table: Table) -> dict[str, tuple[str, ...]]:
    """Component class -> patterns of modules that are left alone."""
    return {cls: table.texts(cls) for cls in table.names()}


def _more(table: Table) -> dict[str, Mapping[str, Any]]:
    return {cls: table.table(cls).take_rest() for cls in table.names()}


def _storage(table: Table) -> Storage:
    storage = Storage(
        bits=table.get("bits", float),
        group=table.get("group", int),
        group_bytes=table.get("group_bytes", float),
        fixed_bytes=table.get("fixed_bytes", int, 0),
        rule=table.text("rule", "linear"),
        group_widths=table.get("group_widths", float, 0.0),
        whole_inputs=table.get("whole_inputs", int, 1),
        whole_outputs=table.get("whole_outputs", int, 1),
        whole_numbers=table.get("whole_numbers", int, 1),
    )
    table.done()
    return storage


def _lora(table: Table, sources: Mapping[str, Source]) -> LoraRule:
    way = cast("Any", table.choice("way", ("after", "before")))
    source = sources[table.choice("source", tuple(sources))] if table.has("source") else None
    table.done()
    return LoraRule(way, source)


def _simple(table: Table) -> tuple[str, Mapping[str, Any]]:
    backend, kwargs = table.text("backend"), table.table("kwargs").take_rest()
    table.done()
    if not kwargs:
        raise table.fail("kwargs", "is empty; diffusers' simple form needs at least one")
    return backend, kwargs


def _spec(table: Table) -> Spec:
    path = table.text("path")
    if "." not in path:
        raise table.fail("path", f"{path!r} is not a dotted class path")
    args = table.table("args")
    values = {key: _argument(value, args, key) for key, value in args.take_rest().items()}
    table.done()
    return Spec(path, values)


def _argument(value: Any, table: Table, key: str) -> Any:
    """A table with a ``path`` is an object to build; every other value stands for itself."""
    if isinstance(value, dict) and "path" in value:
        return _spec(table.child(key, value))
    return value
