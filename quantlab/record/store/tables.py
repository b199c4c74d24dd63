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
)

__all__ = ["ADDED", "VERSION", "guesses", "metadata", "results", "shares"]

VERSION = 3
"""1 had no guesses and no imported results, 2 no shares, runs and owners."""

ADDED = {1: ("imported_at",), 2: ("run", "owner", "pinned_at")}
"""Columns of results, all of them texts, that came after a version."""

metadata = MetaData()
_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up in INTEGER only

results = Table(
    "results",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("key", Text, nullable=False),
    Column("bytes", _Number, nullable=False),
    Column("measured_at", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("image", LargeBinary),
    Column("imported_at", Text),
    Column("run", Text),
    Column("owner", Text),
    Column("pinned_at", Text),
    Index("results_by_key", "key", "seq"),
    sqlite_autoincrement=True,
)
"""One row is one outcome of one plan. ``seq`` is the order of arrival, never used twice.

``run`` is the same for what was measured together, ``owner`` the digest of a secret that may delete
it, ``pinned_at`` when it was last shared. Files of version 2 have one more column, which is not
read any more.
"""

shares = Table(
    "shares",
    metadata,
    Column("id", Text, primary_key=True),
    Column("made_at", Text, nullable=False),
    Column("comparison", Text, nullable=False),
    Column("results", Text, nullable=False),
)
"""A comparison as somebody saw it: the ids of its results, as JSON, in the order of its plans."""

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
