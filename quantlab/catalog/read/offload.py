"""Reads data/offload.toml: which offloading a method's tensors are known to survive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.toml import Table, read_toml

__all__ = ["OffloadRule", "load_offload_rules", "offload_rule"]

GROUP = ("yes", "no", "unknown")


@dataclass(frozen=True)
class OffloadRule:
    """What is known of one method; ``method`` is "" for a component that nothing quantizes."""

    method: str
    group: Literal["yes", "no", "unknown"]
    streams: bool
    note: str
    source: str
    checked: str


def offload_rule(method: str) -> OffloadRule:
    """The rule of ``method``; of one that has none, that nothing is known."""
    return load_offload_rules().get(method) or OffloadRule(method, "unknown", False, "", "", "")


@lru_cache(maxsize=8)
def load_offload_rules(folder: Path | None = None) -> Mapping[str, OffloadRule]:
    """The rules of ``folder``/data/offload.toml by method; None takes the project's own.

    Raises:
        CatalogError: the file breaks the schema; the message names file, key and what was expected.
    """
    root = folder or PROJECT
    top = read_toml(root / "data" / "offload.toml", root)
    rules: dict[str, OffloadRule] = {}
    for table in top.tables("offload"):
        rule = _rule(table)
        if rule.method in rules:
            raise table.fail("method", f"{rule.method!r} is there twice")
        rules[rule.method] = rule
    top.done()
    return MappingProxyType(rules)


def _rule(table: Table) -> OffloadRule:
    rule = OffloadRule(
        method=table.get("method", str),
        group=cast("Literal['yes', 'no', 'unknown']", table.choice("group", GROUP)),
        streams=table.get("streams", bool),
        note=table.text("note"),
        source=table.text("source"),
        checked=table.text("checked"),
    )
    table.done()
    if not rule.source.startswith("https://"):
        raise table.fail("source", f"{rule.source!r} does not start with https://")
    return rule
