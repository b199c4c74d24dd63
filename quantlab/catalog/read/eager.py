"""Reads data/eager.toml: schemes that are several times slower than bf16 unless compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.toml import Table, read_toml

__all__ = ["SlowScheme", "load_slow_schemes"]


@dataclass(frozen=True)
class SlowScheme:
    """One published comparison; ``times`` are seconds over those of bf16, uncompiled, on a GPU."""

    scheme: str
    times: float
    note: str
    source: str
    checked: str

    @property
    def warning(self) -> str:
        """What a person should know before running it uncompiled, in one sentence."""
        return (
            f"{self.scheme} is about {self.times:.0f} times slower than bf16 on a GPU unless it is "
            f"compiled: {self.note} ({self.source}, {self.checked})."
        )


@lru_cache(maxsize=8)
def load_slow_schemes(folder: Path | None = None) -> Mapping[str, SlowScheme]:
    """The schemes of ``folder``/data/eager.toml by id; None takes the project's own.

    Raises:
        CatalogError: the file breaks the schema; the message names file, key and what was expected.
    """
    root = folder or PROJECT
    top = read_toml(root / "data" / "eager.toml", root)
    found: dict[str, SlowScheme] = {}
    for table in top.tables("slow"):
        slow = _slow(table)
        if slow.scheme in found:
            raise table.fail("scheme", f"{slow.scheme!r} is there twice")
        found[slow.scheme] = slow
    top.done()
    return MappingProxyType(found)


def _slow(table: Table) -> SlowScheme:
    slow = SlowScheme(
        scheme=table.text("scheme"),
        times=table.get("times", float),
        note=table.text("note"),
        source=table.text("source"),
        checked=table.text("checked"),
    )
    table.done()
    if slow.times <= 1:
        raise table.fail("times", f"{slow.times:g} is not slower than bf16")
    if not slow.source.startswith("https://"):
        raise table.fail("source", f"{slow.source!r} does not start with https://")
    return slow
