"""Reads data/gpus.toml: the GPUs that a plan is held against, by id.

The file's bytes are what the driver or torch reports as the total, a little less than what is
printed on the box. Whether a plan fits is sizes/activations.py's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.toml import Table, read_toml

__all__ = ["Gpu", "load_gpus"]

Kind = Literal["cuda", "rocm", "metal", "intel"]
KINDS = ("cuda", "rocm", "metal", "intel")


@dataclass(frozen=True)
class Gpu:
    """One GPU, or a share of one. ``capability`` is NVIDIA's compute capability, else ""."""

    id: str
    name: str
    kind: Kind
    bytes: int
    capability: str
    source: str
    checked: str
    note: str = ""
    max_weights_bytes: int | None = None
    """A plan of more weights than this is not run there, whatever is free."""


@lru_cache(maxsize=8)
def load_gpus(folder: Path | None = None) -> Mapping[str, Gpu]:
    """The GPUs of ``folder``/data/gpus.toml, smallest first; None takes the project's own.

    Raises:
        CatalogError: the file breaks the schema; the message names file, key and what was expected.
    """
    root = folder or PROJECT
    top = read_toml(root / "data" / "gpus.toml", root)
    gpus: dict[str, Gpu] = {}
    for table in top.tables("gpus"):
        gpu = _gpu(table)
        if gpu.id in gpus:
            raise table.fail("id", f"{gpu.id!r} is there twice")
        gpus[gpu.id] = gpu
    top.done()
    return MappingProxyType(dict(sorted(gpus.items(), key=lambda item: item[1].bytes)))


def _gpu(table: Table) -> Gpu:
    gpu = Gpu(
        id=table.text("id"),
        name=table.text("name"),
        kind=cast("Kind", table.choice("kind", KINDS)),
        bytes=table.get("bytes", int),
        capability=table.text("capability", ""),
        source=table.text("source"),
        checked=table.text("checked"),
        note=table.text("note", ""),
        max_weights_bytes=table.get("max_weights_bytes", int, 0) or None,
    )
    table.done()
    if gpu.bytes < 2**30:
        raise table.fail("bytes", f"{gpu.bytes} is less than 1 GiB; expected bytes")
    if not gpu.source.startswith("https://"):
        raise table.fail("source", f"{gpu.source!r} does not start with https://")
    if (gpu.kind == "cuda") != bool(gpu.capability):
        raise table.fail("capability", 'expected one such as "8.9" for cuda, and only there')
    return gpu
