"""Reads data/gpus/: a file a vendor or generation; memory.toml, what a size on a box reports;
sources.toml, the sources that cards name by a short word.

A file of cards has ``[defaults]``, which every card of it takes where it says nothing itself, and
``[[cards]]``. Whether a plan fits is placement.py's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.toml import Table, read_toml

__all__ = ["FIGURES", "KINDS", "Gpu", "Kind", "load_gpus", "usable_bytes"]

Kind = Literal["cuda", "rocm", "metal", "intel"]
KINDS = ("cuda", "rocm", "metal", "intel")
FIGURES = (
    "peak16_tflops",
    "fp32_tflops",
    "peak_fp8_tflops",
    "peak_int8_tops",
    "matmul16_tflops",
    "bandwidth_gbs",
    "pcie_gbs",
    "l2_mb",
)
"""The figures of a card, each a positive number or None; the package says what they stand for."""
_MEMORY, _SOURCES = "memory.toml", "sources.toml"
_GIB = 2**30
_SHARES = ("zerogpu-half", "zerogpu-full")
"""Ids that do not follow the pattern: they were published before it."""


@dataclass(frozen=True)
class Gpu:
    """One GPU, or a share of one. ``capability`` is NVIDIA's compute capability, else ""."""

    id: str
    name: str
    kind: Kind
    bytes: int
    capability: str
    source: str
    """Where ``bytes`` are from."""
    checked: str
    note: str = ""
    max_weights_bytes: int | None = None
    """A plan of more weights than this is not run there, whatever is free."""
    vendor: str = ""
    memory_gb: int = 0
    """What is printed on the box."""
    aliases: tuple[str, ...] = ()
    """What people call it beside its id; other cards may share one (``M3``)."""
    unified: bool = False
    """Whether processor and GPU share one memory."""
    arch: str = ""
    bf16_native: bool | None = None
    peak16_tflops: float | None = None
    fp32_tflops: float | None = None
    peak_fp8_tflops: float | None = None
    peak_int8_tops: float | None = None
    matmul16_tflops: float | None = None
    matmul16_source: str = ""
    bandwidth_gbs: float | None = None
    pcie_gbs: float | None = None
    l2_mb: float | None = None
    sources: tuple[str, ...] = ()
    single_source: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Total:
    """What a card of one size on the box reports, and where that is from."""

    bytes: int
    source: str
    note: str


_Totals = Mapping[tuple[str, int], _Total]


@lru_cache(maxsize=8)
def load_gpus(folder: Path | None = None) -> Mapping[str, Gpu]:
    """The cards of ``folder``/data/gpus/ by id, smallest first; None takes the project's own.

    Raises:
        CatalogError: a file breaks the schema; the message names file, key and what was expected.
    """
    root = folder or PROJECT
    totals, sources = _totals(root), _sources(root)
    gpus: dict[str, Gpu] = {}
    for path in sorted((root / "data" / "gpus").glob("*.toml")):
        if path.name in (_MEMORY, _SOURCES):
            continue
        top = read_toml(path, root)
        defaults = top.table("defaults").take_rest()
        for index, card in enumerate(top.tables("cards")):
            table = top.child(f"cards[{index}]", defaults | card.take_rest())
            gpu = _gpu(table, totals, sources)
            if gpu.id in gpus:
                raise table.fail("id", f"{gpu.id!r} is there twice")
            gpus[gpu.id] = gpu
        top.done()
    return MappingProxyType(dict(sorted(gpus.items(), key=lambda item: item[1].bytes)))


def usable_bytes(memory_gb: float, kind: str = "cuda", folder: Path | None = None) -> int:
    """Bytes that a device of ``kind`` reports where ``memory_gb`` GB are printed on the box.

    A size that data/gpus/memory.toml does not list keeps the share of the nearest one that it
    does; a kind that it does not know (``cpu``) keeps all, as GiB.
    """
    totals = {gb: total for (of, gb), total in _totals(folder or PROJECT).items() if of == kind}
    if not totals:
        return int(memory_gb * _GIB)
    nearest = min(totals, key=lambda gb: (abs(gb - memory_gb), gb))
    return int(totals[nearest].bytes * memory_gb / nearest)


@lru_cache(maxsize=8)
def _totals(root: Path) -> _Totals:
    top = read_toml(root / "data" / "gpus" / _MEMORY, root)
    found: dict[tuple[str, int], _Total] = {}
    for table in top.tables("totals"):
        kind, size = table.choice("kind", KINDS), table.get("memory_gb", int)
        if (kind, size) in found:
            raise table.fail("memory_gb", f"{size} GB of {kind} are there twice")
        found[kind, size] = _Total(_bytes(table), _url(table, "source"), table.text("note"))
        table.done()
    top.done()
    return MappingProxyType(found)


def _sources(root: Path) -> Mapping[str, str]:
    top = read_toml(root / "data" / "gpus" / _SOURCES, root)
    table = top.table("sources")
    found = {name: _url(table, name) for name in table.names()}
    top.done()
    return MappingProxyType(found)


def _gpu(table: Table, totals: _Totals, sources: Mapping[str, str]) -> Gpu:
    kind, size = cast("Kind", table.choice("kind", KINDS)), table.get("memory_gb", int)
    total = _total(table, kind, size, totals)
    gpu = Gpu(
        id=table.text("id"),
        name=table.text("name"),
        kind=kind,
        bytes=total.bytes,
        capability=table.text("capability", ""),
        source=total.source,
        checked=table.text("checked"),
        note=total.note,
        max_weights_bytes=table.get("max_weights_bytes", int, 0) or None,
        vendor=table.text("vendor"),
        memory_gb=size,
        aliases=table.texts("aliases", []),
        unified=table.get("unified", bool, kind == "metal"),
        arch=table.text("arch", ""),
        bf16_native=table.get("bf16_native", bool) if table.has("bf16_native") else None,
        matmul16_source=_source(table, "matmul16_source", sources),
        sources=tuple(_full(text, table, sources) for text in table.texts("sources", [])),
        single_source=table.texts("single_source", []),
        **_figures(table),
    )
    table.done()
    _check(gpu, table)
    return gpu


def _total(table: Table, kind: str, size: int, totals: _Totals) -> _Total:
    """The card's own total, else that of its size."""
    if table.has("bytes"):
        return _Total(_bytes(table), _url(table, "bytes_source"), table.text("note"))
    if (kind, size) not in totals:
        raise table.fail("bytes", f"is missing, and {_MEMORY} has no {size} GB of {kind}")
    total = totals[kind, size]
    return _Total(total.bytes, total.source, table.text("note", total.note))


def _figures(table: Table) -> dict[str, Any]:
    found = {name: table.get(name, float) for name in FIGURES if table.has(name)}
    for name, value in found.items():
        if value <= 0:
            raise table.fail(name, f"{value:g} is not above 0; leave an unknown figure out")
    return found


def _source(table: Table, key: str, sources: Mapping[str, str]) -> str:
    text = table.text(key, "")
    return text and _full(text, table, sources)


def _full(text: str, table: Table, sources: Mapping[str, str]) -> str:
    """The address that ``text`` stands for: itself, or a word of sources.toml with what follows."""
    if text.startswith("https://"):
        return text
    name, _, rest = text.partition(":")
    if name not in sources:
        raise table.fail("sources", f"{text!r:.60}: expected https:// or a word of {_SOURCES}")
    return sources[name] + rest


def _check(gpu: Gpu, table: Table) -> None:
    if gpu.id not in _SHARES and not re.fullmatch(rf"[a-z0-9-]+-{gpu.memory_gb}gb", gpu.id):
        raise table.fail("id", f"{gpu.id!r} does not end in -{gpu.memory_gb}gb, its memory")
    if (gpu.kind == "cuda") != bool(gpu.capability):
        raise table.fail("capability", 'expected one such as "8.9" for cuda, and only there')
    known = {name for name in FIGURES if getattr(gpu, name) is not None}
    if known and not gpu.sources:
        raise table.fail("sources", "is missing; expected where the figures are from")
    if bool(gpu.matmul16_tflops) != bool(gpu.matmul16_source):
        raise table.fail("matmul16_source", "expected where matmul16_tflops is from, and only then")
    for name in gpu.single_source:
        if name not in known:
            raise table.fail("single_source", f"{name!r} is not a figure of this card")


def _bytes(table: Table) -> int:
    count = table.get("bytes", int)
    if count < _GIB:
        raise table.fail("bytes", f"{count} is less than 1 GiB; expected bytes")
    return count


def _url(table: Table, key: str) -> str:
    url = table.text(key)
    if not url.startswith("https://"):
        raise table.fail(key, f"{url!r} does not start with https://")
    return url
