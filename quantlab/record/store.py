"""The store of results: what was measured, its image, and where and when.

One row is one outcome of one plan. A row is found by the inputs that decide its numbers: model,
prompt, seed, steps, guidance, size, sequence length, the plan and the reference plan (PSNR and its
like are relative to that). Images lie in the same file as the numbers, so that one transaction
keeps both or neither. Rows rebuild without the catalogue: a result stays readable when its scheme
or model is gone from it.

Does not know links, the page, or how anything was measured.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import data_folder
from quantlab.errors import InputError, StoreError
from quantlab.lab.outcome import Outcome
from quantlab.lab.plan import Comparison
from quantlab.record.database import Database
from quantlab.record.stored import Stored, from_row, input_key, short_hash, to_record

__all__ = ["DEFAULT_LIMIT_MB", "Store", "Stored"]

DEFAULT_LIMIT_MB = 2048
"""Megabytes of 10**6 bytes."""

VERSION = 1
SCHEMA = """
CREATE TABLE results (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    kept INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL,
    measured_at TEXT NOT NULL,
    record TEXT NOT NULL,
    image BLOB
);
CREATE INDEX results_by_key ON results (key, seq)
"""
_FIELDS = "id, measured_at, record, image"
_FIELDS_BARE = "id, measured_at, record, NULL"
_ROW_BYTES = 512  # what a row takes beside its record and image, about

logger = logging.getLogger(__name__)


class Store:
    """The results in ``folder`` (default: ``data_folder()``), held under ``limit_bytes``.

    The limit is ``QUANTLAB_DATA_LIMIT_MB`` where none is given. Over it, the oldest rows go first;
    rows marked by ``keep`` and the one just saved stay, so it can be passed by those.

    Safe to share between threads, processes and forks. Every method may raise ``StoreError``, with
    one sentence that says what is wrong: the disk is full, the folder read-only, the file busy.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self._limit_bytes = _limit_from_environment() if limit_bytes is None else limit_bytes
        self._database = Database(folder or data_folder(), SCHEMA, VERSION)

    def save(
        self,
        comparison: Comparison,
        index: int,
        outcome: Outcome,
        image_png: bytes | None,
        device: Mapping[str, Any],
        versions: Mapping[str, Any],
    ) -> str | None:
        """Keep the outcome of plan ``index`` and its image; gives the new row's id.

        A plan that somebody stopped is no result: nothing is kept and None comes back. Numbers
        that are not finite are kept as null.

        Raises:
            StoreError: it cannot be written, or the image is not a whole PNG; nothing is kept.
            ValueError: the outcome is not of that plan.
        """
        plan = comparison.plans[index]
        if outcome.plan != str(plan):
            raise ValueError(f"the outcome is of plan {outcome.plan}, not of {plan}")
        if outcome.error is not None and outcome.error.stage == "stopped":
            return None
        if image_png is not None and not _is_whole_png(image_png):
            raise StoreError("The image is not a whole PNG file; the result was not kept.")
        measured_at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        record = to_record(comparison, outcome, device, versions)
        key = input_key(comparison, plan)
        new = short_hash(key, measured_at, record, image_png or b"")
        size = len(record) + len(image_png or b"") + _ROW_BYTES
        row = (new, key, size, measured_at, record, image_png)

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO results (id, key, bytes, measured_at, record, image)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                row,
            )
            _make_room(connection, self._limit_bytes, spare=new)

        self._database.write(insert)
        return new

    def find(self, comparison: Comparison) -> list[Stored]:
        """The latest result of each plan that has one, in the comparison's order."""
        keys = [input_key(comparison, plan) for plan in comparison.plans]
        sql = f"SELECT {_FIELDS} FROM results WHERE key = ? ORDER BY seq DESC LIMIT 1"
        rows = self._database.read(
            lambda connection: [connection.execute(sql, (key,)).fetchone() for key in keys]
        )
        return _readable(row for row in rows if row is not None)

    def get(self, result: str) -> Stored | None:
        """The result of that id, or None."""
        sql = f"SELECT {_FIELDS} FROM results WHERE id = ?"
        rows = self._database.read(lambda connection: connection.execute(sql, (result,)).fetchall())
        return next(iter(_readable(rows)), None)

    def recent(self, limit: int = 100, *, images: bool = True) -> list[Stored]:
        """The newest results first. Without ``images``, every ``image_png`` is None."""
        fields = _FIELDS if images else _FIELDS_BARE
        sql = f"SELECT {fields} FROM results ORDER BY seq DESC LIMIT ?"
        rows = self._database.read(
            lambda connection: connection.execute(sql, (max(0, limit),)).fetchall()
        )
        return _readable(rows)

    def keep(self, comparison: Comparison) -> int:
        """Mark what ``find`` gives now, because a link was made; gives the number of rows."""
        keys = [(input_key(comparison, plan),) for plan in dict.fromkeys(comparison.plans)]
        sql = (
            "UPDATE results SET kept = 1"
            " WHERE seq = (SELECT seq FROM results WHERE key = ? ORDER BY seq DESC LIMIT 1)"
        )
        return self._database.write(
            lambda connection: sum(connection.execute(sql, key).rowcount for key in keys)
        )

    def keep_result(self, result: str) -> bool:
        """Mark one row, because a link to it was made; False where it is not there."""
        sql = "UPDATE results SET kept = 1 WHERE id = ?"
        return self._database.write(
            lambda connection: connection.execute(sql, (result,)).rowcount == 1
        )


def _limit_from_environment() -> int:
    text = os.environ.get("QUANTLAB_DATA_LIMIT_MB") or str(DEFAULT_LIMIT_MB)
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise InputError("QUANTLAB_DATA_LIMIT_MB", "must be a whole number of megabytes")
    return int(text) * 10**6


def _make_room(connection: sqlite3.Connection, limit_bytes: int, spare: str) -> None:
    (pages,) = connection.execute(
        "SELECT (SELECT page_count FROM pragma_page_count)"
        " * (SELECT page_size FROM pragma_page_size)"
    ).fetchone()
    excess = pages - limit_bytes
    if excess <= 0:
        return
    doomed = []
    oldest = connection.execute(
        "SELECT seq, bytes FROM results WHERE kept = 0 AND id <> ? ORDER BY seq", (spare,)
    )
    for seq, size in oldest:
        doomed.append((seq,))
        excess -= size
        if excess <= 0:
            break
    connection.executemany("DELETE FROM results WHERE seq = ?", doomed)
    connection.execute("PRAGMA incremental_vacuum").fetchall()  # works page by page as it is read


def _readable(rows: Iterable[tuple[str, str, str, bytes | None]]) -> list[Stored]:
    """Rows as values; one that cannot be read is left out with a warning, not all of them."""
    found = []
    for row in rows:
        try:
            found.append(from_row(*row))
        except (ValueError, TypeError, KeyError):
            logger.warning("stored result %s cannot be read; it is left out", row[0])
    return found


def _is_whole_png(data: bytes) -> bool:
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data[-8:-4] == b"IEND"
