"""Where results are kept: a SQLite file, or the PostgreSQL that QUANTLAB_DATABASE_URL names.

Both give connections of SQLAlchemy to the same tables (store/tables.py), let one writer in at a
time, and say in one sentence what went wrong. What a row means is the store's business
(store/store.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from quantlab.catalog.paths import data_folder
from quantlab.record.store.postgres import Postgres
from quantlab.record.store.sqlite import SqliteFile

__all__ = ["URL_VARIABLE", "Database", "open_database"]

URL_VARIABLE = "QUANTLAB_DATABASE_URL"

T = TypeVar("T")


class Database(Protocol):
    """Safe to share between threads, processes and forks; work may raise ``StoreError``."""

    def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` makes of a connection."""

    def write(self, work: Callable[[Connection], T]) -> T:
        """As ``read``, as the only writer and in one transaction: all of it is kept, or nothing."""

    def used_bytes(self, connection: Connection) -> int:
        """What the results take, in bytes."""

    def give_back(self, connection: Connection) -> None:
        """Return the room of deleted rows, where the database does not do so by itself."""


def open_database(folder: Path | None = None) -> Database:
    """The file in ``folder``; without one the database of the environment, else the file in
    ``data_folder()``.

    Raises:
        StoreError: it cannot be opened or made, or a newer version of quantlab wrote it.
    """
    url = os.environ.get(URL_VARIABLE, "").strip()
    if folder is None and url:
        return Postgres(url)
    return SqliteFile(folder or data_folder())
