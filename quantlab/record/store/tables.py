"""The tables of the store, the same in SQLite and in PostgreSQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

__all__ = ["VERSION", "guesses", "metadata", "results"]

VERSION = 2
"""1 had no guesses and no imported results."""

metadata = MetaData()
_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up in INTEGER only

results = Table(
    "results",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("key", Text, nullable=False),
    Column("kept", Integer, nullable=False, server_default=text("0")),
    Column("bytes", _Number, nullable=False),
    Column("measured_at", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("image", LargeBinary),
    Column("imported_at", Text),
    Index("results_by_key", "key", "seq"),
    sqlite_autoincrement=True,
)
"""One row is one outcome of one plan. ``seq`` is the order of arrival, never used twice."""

guesses = Table(
    "guesses",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("told", _Number, nullable=False),
    Column("shown", _Number, nullable=False),
)
"""Counts of a day: nothing here tells one person's guess from another's."""
