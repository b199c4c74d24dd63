"""Reads what a method's file says beside cells and schemes; keys are those of catalog/facts.py."""

from __future__ import annotations

from typing import Literal, cast

from quantlab.catalog.facts import Eager, Keeping, LanguageModel, Mixing, Offload
from quantlab.catalog.read.toml import Table

__all__ = [
    "read_eager",
    "read_flags",
    "read_keeping",
    "read_language_model",
    "read_mixing",
    "read_offload",
    "read_texts",
]

GROUP = ("yes", "no", "unknown")
ANY_DEVICE = '"cuda" if torch.cuda.is_available() else "cpu"'


def read_offload(table: Table) -> Offload:
    """One ``[offload]``.

    Raises:
        CatalogError: a key is unknown, missing or wrong; so do the others here.
    """
    rule = Offload(
        group=cast("Literal['yes', 'no', 'unknown']", table.choice("group", GROUP)),
        streams=table.get("streams", bool),
        note=table.text("note"),
        source=_url(table, "source"),
        checked=table.text("checked"),
    )
    table.done()
    return rule


def read_eager(table: Table, scheme: str) -> Eager:
    """One ``eager`` of a scheme."""
    slow = Eager(
        scheme=scheme,
        times=table.get("times", float),
        note=table.text("note"),
        source=_url(table, "source"),
        checked=table.text("checked"),
    )
    table.done()
    if slow.times <= 1:
        raise table.fail("times", f"{slow.times:g} is not slower than bf16")
    return slow


def read_keeping(table: Table) -> Keeping:
    """The ``keeping`` of a method."""
    found = Keeping(
        argument=table.text("argument", ""),
        leaf=table.get("leaf", bool, False),
        mixed=table.text("mixed", ""),
    )
    table.done()
    return found


def read_language_model(table: Table) -> LanguageModel:
    """One ``[language_model]``."""
    found = LanguageModel(
        repo=table.text("repo"),
        pins=read_texts(table.table("pins")),
        needs=table.texts("needs"),
        dtype=table.text("dtype", '"auto"'),
        device=table.text("device", ANY_DEVICE),
        extras=read_texts(table.table("extras")),
    )
    table.done()
    return found


def read_mixing(table: Table) -> Mixing:
    """One ``[mix]``."""
    found = Mixing(
        schemes=table.texts("schemes"),
        kept=table.text("kept", ""),
        weighted=table.get("weighted", bool, False),
    )
    table.done()
    return found


def read_texts(table: Table) -> dict[str, str]:
    """A table of texts whose keys are free."""
    return {key: table.text(key) for key in table.names()}


def read_flags(table: Table) -> dict[str, bool]:
    """A table of true and false whose keys are free."""
    return {key: table.get(key, bool) for key in table.names()}


def _url(table: Table, key: str) -> str:
    text = table.text(key)
    if not text.startswith("https://"):
        raise table.fail(key, f"{text!r} does not start with https://")
    return text
