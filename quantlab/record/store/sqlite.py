"""One SQLite file that threads and processes may share, and that mends itself.

Knows connections, the version of the file, damage, and how to say in one sentence what went wrong.
Does not know what a row means (store/store.py). Every piece of work gets a connection of its own
(0.6 ms on a laptop), so nothing is shared between threads or carried over a fork.

SQLite finds the log of a database by its name, so a file that is moved while somebody has it open
would take the fresh file's log for its own. A lock beside it keeps that apart: shared while a
connection is open, exclusive while a damaged file is moved.

Write-ahead logging: a process that is killed in the middle of a write leaves the last complete
state; a power cut may lose the last rows but does not damage the file.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from quantlab.catalog.paths import RESULTS
from quantlab.errors import StoreError, first_line
from quantlab.record.store.file_lock import hold
from quantlab.record.store.retention import moment
from quantlab.record.store.tables import ADDED, VERSION, guesses, metadata, shares

__all__ = ["SqliteFile"]

LOCK = "results.lock"
APPLICATION_ID = 0x716C6162  # "qlab", in the file's header
BUSY_S = 15.0

logger = logging.getLogger(__name__)
T = TypeVar("T")

_FULL = "The disk that holds the results is full; free some space or set QUANTLAB_DATA."
_BUSY = f"The store of results stayed busy for {BUSY_S:g} s; try again."
_READ_ONLY = "The folder of results cannot be written; set QUANTLAB_DATA to one that can."
_SENTENCES = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_IOERR: "The disk that holds the results is full or failing.",
}


class _Foreign(sqlite3.DatabaseError):
    """A database, but not one of ours."""


class SqliteFile:
    """The file ``results.sqlite`` in a folder, made where it is not there yet.

    Raises:
        StoreError: the folder cannot be made, the file cannot be opened or made, or a newer
            version of quantlab wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.absolute() / RESULTS
        self._engine = create_engine(
            "sqlite://", creator=self._connect, poolclass=NullPool, hide_parameters=True
        )
        self.read(lambda _: None)

    def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` makes of a connection.

        A file that is damaged or not ours is set aside, with a warning, and the work is done on a
        fresh one; so it is where the folder was deleted meanwhile.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise _fault_of_folder(fault) from fault
        seen = None
        for attempt in (1, 2):
            try:
                with self._lock():
                    seen = _inode(self.path)
                    with self._engine.connect() as connection:
                        self._prepare(connection)
                        return work(connection)
            except (sqlite3.Error, DBAPIError) as caught:
                error = _plain(caught)
                if attempt == 2 or not _is_damage(error):
                    raise StoreError(_sentence(error)) from caught
                self._set_aside(seen)
        raise AssertionError("unreachable")

    def write(self, work: Callable[[Connection], T]) -> T:
        """As ``read``, as the only writer and in one transaction: all of it is kept, or nothing.

        Raises:
            StoreError: the file cannot be written.
        """

        def transaction(connection: Connection) -> T:
            if not self._is_writable():
                raise StoreError(_READ_ONLY)
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            result = work(connection)
            connection.commit()  # where this is not reached, closing rolls back
            return result

        return self.read(transaction)

    def used_bytes(self, connection: Connection) -> int:
        """The size of the file as ``connection`` sees it."""
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())

    def give_back(self, connection: Connection) -> None:
        """Shrink the file by the pages that no row uses any more."""
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        # Python's sqlite3 ends a statement at its first row without columns: a page a time.
        for _ in range(int(driver.execute("PRAGMA freelist_count").fetchone()[0])):
            driver.execute("PRAGMA incremental_vacuum")

    def _is_writable(self) -> bool:
        return os.access(self.path.parent, os.W_OK)

    def _connect(self) -> sqlite3.Connection:
        # A folder that may not be written has no room for the log's shared memory either;
        # "immutable" reads the file without it.
        mode = "mode=rwc" if self._is_writable() else "mode=ro&immutable=1"
        uri = f"{self.path.as_uri()}?{mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)

    def _prepare(self, connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
        application, version, tables = _header(connection)
        if application == APPLICATION_ID and version == VERSION:
            return
        if application == APPLICATION_ID and version > VERSION:
            raise StoreError(
                f"The store of results is of version {version}, this quantlab knows {VERSION};"
                " update it or set QUANTLAB_DATA to another folder."
            )
        if application != APPLICATION_ID and (application or version or tables):
            raise _Foreign("not a store of results")
        if application and not self._is_writable():
            _show_as_new(connection, version)
        else:
            self._create(connection)

    def _create(self, connection: Connection) -> None:
        """Make the tables, or those that an older version did not have."""
        connection.exec_driver_sql("PRAGMA auto_vacuum = INCREMENTAL")  # before the first page
        _enter_wal(connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _, version, _ = _header(connection)  # another process may have made them meanwhile
        if version < VERSION:
            for name in _columns_after(version):
                connection.exec_driver_sql(f"ALTER TABLE results ADD COLUMN {name} TEXT")
            if version in ADDED:  # what a link had been made for stays a while longer
                pinned = "UPDATE results SET pinned_at = ? WHERE kept = 1"
                connection.exec_driver_sql(pinned, (moment(),))
            metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
        connection.commit()

    def _lock(self, *, exclusive: bool = False) -> AbstractContextManager[object]:
        if not self._is_writable():
            return nullcontext()
        try:
            return hold(self.path.with_name(LOCK), exclusive=exclusive, wait_s=BUSY_S)
        except OSError as error:
            raise _fault_of_folder(error) from error

    def _set_aside(self, seen: int | None) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        target = f"{self.path}.broken-{stamp}"
        with self._lock(exclusive=True):
            if _inode(self.path) != seen:
                return  # another thread or process was faster
            try:
                for suffix in ("-wal", "-shm", ""):  # an old log must never meet the fresh file
                    with suppress(FileNotFoundError):
                        os.replace(f"{self.path}{suffix}", f"{target}{suffix}")
            except OSError as error:
                raise _fault_of_folder(error) from error
        logger.warning(
            "%s is damaged or not a store of results; it was moved to %s and a new one begun",
            RESULTS,
            Path(target).name,
        )


def _header(connection: Connection) -> tuple[int, int, int]:
    """Application id, version and number of tables, as one state of the file has them."""
    row = connection.exec_driver_sql(
        "SELECT (SELECT application_id FROM pragma_application_id),"
        " (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
    ).one()
    return row[0], row[1], row[2]


def _columns_after(version: int) -> list[str]:
    """The columns of results that a file of ``version`` has not; none for a new file."""
    return [name for since, names in ADDED.items() if 0 < version <= since for name in names]


def _show_as_new(connection: Connection, version: int) -> None:
    """Let an older file that cannot be written be read, for this connection alone."""
    connection.exec_driver_sql("PRAGMA temp_store = MEMORY")
    missing = "".join(f", NULL AS {name}" for name in _columns_after(version))
    connection.exec_driver_sql(f"CREATE TEMP VIEW results AS SELECT *{missing} FROM main.results")
    there = inspect(connection).get_table_names()
    for table in (guesses, shares):
        if table.name not in there:
            columns = ", ".join(f"NULL AS {column.name}" for column in table.columns)
            connection.exec_driver_sql(f"CREATE TEMP VIEW {table.name} AS SELECT {columns} WHERE 0")


def _enter_wal(connection: Connection) -> None:
    """SQLite does not wait here by itself when another process enters at the same moment."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            return
        except DBAPIError as error:
            if _code(_plain(error)) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _fault_of_folder(error: OSError) -> StoreError:
    if isinstance(error, TimeoutError):
        return StoreError(_BUSY)
    return StoreError(_FULL if error.errno == errno.ENOSPC else _READ_ONLY)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _plain(error: sqlite3.Error | DBAPIError) -> sqlite3.Error:
    """The error as SQLite's own module raised it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause if isinstance(cause, sqlite3.Error) else sqlite3.Error(str(cause))


def _code(error: sqlite3.Error) -> int:
    """The primary result code; the upper bits only say more about it."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _is_damage(error: sqlite3.Error) -> bool:
    return isinstance(error, _Foreign) or _code(error) in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    )


def _sentence(error: sqlite3.Error) -> str:
    return _SENTENCES.get(_code(error), f"The store of results failed: {first_line(error)}.")
