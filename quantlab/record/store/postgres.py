"""A PostgreSQL database that several replicas, or a lab, share.

One writer at a time, as SQLite has it: every transaction that writes first takes an advisory lock,
so that retention counts what is really there and no row is deleted while a link to it is made.

An address holds a password. Nothing of it, and no text of the driver, goes into a message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from quantlab.errors import StoreError
from quantlab.record.store.retention import moment
from quantlab.record.store.tables import ADDED, VERSION, metadata, results

__all__ = ["Postgres"]

T = TypeVar("T")

WAIT_S = 15
LOCK = 0x716C6162  # "qlab": the advisory lock of whoever writes
CONNECT = {
    "connect_timeout": 5,  # seconds
    "tcp_user_timeout": 1000 * WAIT_S,  # milliseconds until a silent server counts as gone
    "application_name": "quantlab",
    "prepare_threshold": None,  # a pooler in between may hand each statement to another session
}

_marker = Table("quantlab_store", MetaData(), Column("version", Integer, nullable=False))
"""One row. Where it is, the other tables are ours."""

_NOT_AN_ADDRESS = (
    "QUANTLAB_DATABASE_URL is not the address of a PostgreSQL database, such as"
    " postgresql+psycopg://user:password@host/database."
)
_NO_DRIVER = (
    "PostgreSQL needs its driver here: pip install -e '.[postgres]' in the project's folder."
)
_UNREACHABLE = (
    "The database of results cannot be reached; check that its server runs and that"
    " QUANTLAB_DATABASE_URL names it."
)
_REFUSED = (
    "The database of results refused the sign-in; check user, password and database name in"
    " QUANTLAB_DATABASE_URL."
)
_BUSY = f"The database of results stayed busy for {WAIT_S} s; try again."
_SENTENCES = {
    "53100": "The disk of the database of results is full; free some space there.",
    "53300": _BUSY,
    "55P03": _BUSY,
    "57014": _BUSY,
    "42501": "The database of results may not be written by the user that its address names.",
    "25006": "The database of results is read-only.",
    "28": _REFUSED,
    "3D": _REFUSED,
    "08": _UNREACHABLE,
    "57": _UNREACHABLE,
}
"""By SQLSTATE, or by its class: its first two characters (PostgreSQL's manual, appendix A)."""

_SIGN_IN = re.compile("authentication|password|pg_hba|does not exist|not permitted")


class Postgres:
    """The database at ``address``; its tables are made where they are not there yet.

    Raises:
        StoreError: the address is wrong, the driver is missing, the server cannot be reached, the
            tables belong to somebody else, or a newer version of quantlab made them.
    """

    def __init__(self, address: str) -> None:
        self._url = _url(address)
        self._pid = os.getpid()
        self._engine = self._make_engine()
        self.write(_prepare)

    def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` makes of a connection.

        Raises:
            StoreError: the database cannot be read.
        """
        self._leave_parent()
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise StoreError(_sentence(error)) from None

    def write(self, work: Callable[[Connection], T]) -> T:
        """As ``read``, as the only writer and in one transaction: all of it is kept, or nothing.

        Raises:
            StoreError: the database cannot be written.
        """

        def transaction(connection: Connection) -> T:
            connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_S}s'"))
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            result = work(connection)
            connection.commit()  # where this is not reached, closing rolls back
            return result

        return self.read(transaction)

    def used_bytes(self, connection: Connection) -> int:
        """What the rows take. The server's own files shrink later, when it cleans up."""
        total = connection.scalar(select(func.coalesce(func.sum(results.c.bytes), 0)))
        return int(total or 0)

    def give_back(self, connection: Connection) -> None:
        """Nothing to do: the server vacuums by itself."""

    def _make_engine(self) -> Engine:
        options = {key: value for key, value in CONNECT.items() if key not in self._url.query}
        try:
            return create_engine(
                self._url,
                connect_args=options,
                hide_parameters=True,
                pool_pre_ping=True,  # a server that came back is met by a fresh connection
                pool_timeout=WAIT_S,
            )
        except ImportError:
            raise StoreError(_NO_DRIVER) from None

    def _leave_parent(self) -> None:
        """A connection serves one process: after a fork the child begins with none."""
        if self._pid != os.getpid():
            self._engine.dispose(close=False)
            self._pid = os.getpid()


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise StoreError(_NOT_AN_ADDRESS) from None
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise StoreError(_NOT_AN_ADDRESS)
    return url.set(drivername="postgresql+psycopg")


def _prepare(connection: Connection) -> None:
    there = inspect(connection)
    if not there.has_table(_marker.name):
        if any(there.has_table(name) for name in metadata.tables):
            raise StoreError(
                "The database of results has tables of somebody else by the names of ours; give"
                " quantlab a database of its own in QUANTLAB_DATABASE_URL."
            )
        metadata.create_all(connection)
        _marker.create(connection)
        connection.execute(insert(_marker).values(version=VERSION))
    version = connection.scalar(select(_marker.c.version))
    if version in ADDED:
        _upgrade(connection, version)
    elif version != VERSION:
        raise StoreError(
            f"The database of results is of version {version}, this quantlab knows {VERSION};"
            " update it or set QUANTLAB_DATABASE_URL to another database."
        )


def _upgrade(connection: Connection, version: int) -> None:
    """Make what this version has and ``version`` had not."""
    for name in (name for since, names in ADDED.items() if version <= since for name in names):
        connection.execute(text(f"ALTER TABLE results ADD COLUMN IF NOT EXISTS {name} TEXT"))
    pinned = {"now": moment()}  # what a link had been made for stays a while longer
    connection.execute(text("UPDATE results SET pinned_at = :now WHERE kept = 1"), pinned)
    metadata.create_all(connection)
    connection.execute(update(_marker).values(version=VERSION))


def _sentence(error: SQLAlchemyError) -> str:
    if isinstance(error, PoolTimeout):
        return _BUSY
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(cause, "sqlstate", None) or ""
    if known := _SENTENCES.get(state) or _SENTENCES.get(state[:2]):
        return known
    # There is no code where a connection was not made, only the text of driver or server.
    if not state and type(cause).__name__ == "ProgrammingError":
        return _NOT_AN_ADDRESS  # a setting after the question mark that there is not
    if not state and type(cause).__name__ == "OperationalError":
        _, _, reason = str(cause).partition("FATAL")
        return _REFUSED if _SIGN_IN.search(reason) else _UNREACHABLE
    return f"The database of results failed: {type(cause).__name__} {state}".rstrip() + "."
