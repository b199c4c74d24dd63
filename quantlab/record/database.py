"""One SQLite file that threads and processes may share, and that mends itself.

Knows connections, the version of the file, damage, and how to say in one sentence what went
wrong. Does not know what a row means (store.py). Every piece of work gets a connection of its own
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
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar

from quantlab.errors import StoreError, first_line

try:
    import fcntl
except ImportError:  # Windows, which does not let an open file be moved anyway
    fcntl = None  # type: ignore[assignment]

__all__ = ["FILE", "Database"]

FILE = "results.sqlite"
LOCK = "results.lock"
APPLICATION_ID = 0x716C6162  # "qlab", in the file's header
BUSY_S = 15.0

logger = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

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


class Database:
    """The file ``results.sqlite`` in a folder, made by ``schema`` where it is not there yet.

    Raises:
        StoreError: the folder cannot be made, the file cannot be opened or made, or a newer
            version of quantlab wrote it.
    """

    def __init__(self, folder: Path, schema: str, version: int) -> None:
        self.path = folder.absolute() / FILE
        self._schema = schema
        self._version = version
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _fault_of_folder(error) from error
        self.read(lambda _: None)

    def read(self, work: Work[T]) -> T:
        """What ``work`` makes of a connection.

        A file that is damaged or not ours is set aside, with a warning, and the work is done on a
        fresh one.

        Raises:
            StoreError: the file cannot be read.
        """
        seen = None
        for attempt in (1, 2):
            try:
                with self._lock():
                    seen = _inode(self.path)
                    with closing(self._connect()) as connection:
                        self._prepare(connection)
                        return work(connection)
            except sqlite3.Error as error:
                if attempt == 2 or not _is_damage(error):
                    raise StoreError(_sentence(error)) from error
                self._set_aside(seen)
        raise AssertionError("unreachable")

    def write(self, work: Work[T]) -> T:
        """As ``read``, in one transaction: all of it is kept, or nothing.

        Raises:
            StoreError: the file cannot be written.
        """

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")  # where this is not reached, closing rolls back
            return result

        return self.read(transaction)

    def _connect(self) -> sqlite3.Connection:
        # A folder that may not be written has no room for the log's shared memory either;
        # "immutable" reads the file without it.
        writable = os.access(self.path.parent, os.W_OK)
        mode = "mode=rwc" if writable else "mode=ro&immutable=1"
        uri = f"{self.path.as_uri()}?{mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")
        application, version, tables = _header(connection)
        if application == APPLICATION_ID and version == self._version:
            return
        if application == APPLICATION_ID:
            raise StoreError(
                f"The store of results is of version {version}, this quantlab knows"
                f" {self._version}; update it or set QUANTLAB_DATA to another folder."
            )
        if application or version or tables:
            raise _Foreign("not a store of results")
        self._create(connection)

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first page is written
        _enter_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        if _header(connection) == (0, 0, 0):  # else another process has made it meanwhile
            for statement in self._schema.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute("COMMIT")

    @contextmanager
    def _lock(self, *, exclusive: bool = False) -> Iterator[None]:
        if fcntl is None or not os.access(self.path.parent, os.W_OK):
            yield
            return
        try:
            file = open(self.path.with_name(LOCK), "ab")  # noqa: SIM115 - closed below
        except OSError as error:
            raise _fault_of_folder(error) from error
        with file:
            _wait_for_lock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield

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
            FILE,
            Path(target).name,
        )


def _header(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Application id, version and number of tables, as one state of the file has them."""
    row: tuple[int, int, int] = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id),"
        " (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    return row


def _enter_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait here by itself when another process enters at the same moment."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _wait_for_lock(file: IO[bytes], kind: int) -> None:
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise StoreError(_BUSY) from error
            time.sleep(0.005)
        except OSError:
            return  # a file system without locks: one process at a time has to do


def _fault_of_folder(error: OSError) -> StoreError:
    return StoreError(_FULL if error.errno == errno.ENOSPC else _READ_ONLY)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


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
