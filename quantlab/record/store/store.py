"""The store of results: what was measured, its image, and where and when; and guesses about them.

One row is one outcome of one plan. A row is found by the inputs that decide its numbers: model,
prompt, seed, steps, guidance, size, sequence length, the plan and the reference plan (PSNR and its
like are relative to that). Images lie in the same table as the numbers, so that one transaction
keeps both or neither. Rows rebuild without the catalogue: a result stays readable when its scheme
or model is gone from it.

Does not know links, the page, how anything was measured, or which database it is
(store/database.py).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from quantlab.errors import InputError, StoreError
from quantlab.record.store.database import open_database
from quantlab.record.store.guesses import GuessTally, count_guess, tallies
from quantlab.record.store.row import Stored, from_row, input_key, now, to_row
from quantlab.record.store.tables import results
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome

__all__ = ["DEFAULT_LIMIT_MB", "Store", "Stored"]

DEFAULT_LIMIT_MB = 2048
"""Megabytes of 10**6 bytes."""

_ID = re.compile("[a-z2-7]{12}")

logger = logging.getLogger(__name__)


class Store:
    """The results in ``folder``, held under ``limit_bytes``.

    Without a folder: those in the PostgreSQL that ``QUANTLAB_DATABASE_URL`` names, else those in
    ``data_folder()``. The limit is ``QUANTLAB_DATA_LIMIT_MB`` where none is given. Over it, the
    oldest rows go first; rows marked by ``keep`` and the one just saved stay, so it can be passed
    by those.

    Safe to share between threads, processes and forks. Every method may raise ``StoreError``, with
    one sentence that says what is wrong: the disk is full, the folder read-only, the server down.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self._limit_bytes = _limit_from_environment() if limit_bytes is None else limit_bytes
        self._database = open_database(folder)

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
        plan = str(comparison.plans[index])
        if outcome.plan != plan:
            raise ValueError(f"the outcome is of plan {outcome.plan}, not of {plan}")
        if outcome.error is not None and outcome.error.stage == "stopped":
            return None
        if image_png is not None and not _is_whole_png(image_png):
            raise StoreError("The image is not a whole PNG file; the result was not kept.")
        new = to_row(Stored("", comparison, plan, outcome, image_png, device, versions, now()))

        def work(connection: Connection) -> None:
            known = select(results.c.seq).where(results.c.id == new["id"])
            if connection.scalar(known) is None:
                connection.execute(insert(results), new)
            self._make_room(connection, spare=new["id"])

        self._database.write(work)
        return str(new["id"])

    def add(self, rows: Sequence[Stored]) -> int:
        """Keep results of another machine, all or none; gives how many were not there yet.

        They never push out what was measured here: where there is no room for them nothing is
        added. Checking them is for the caller (results/importing.py).

        Raises:
            StoreError: there is no room, or they cannot be written.
        """
        moment = now()
        new = [to_row(replace(row, imported_at=moment)) for row in rows]

        def work(connection: Connection) -> int:
            added = 0
            for row in new:
                if not _is_there(connection, row):
                    connection.execute(insert(results), row)
                    added += 1
            over = self._database.used_bytes(connection) - self._limit_bytes
            if added and over > 0:
                raise StoreError(
                    f"There is no room for these results: {over / 1e6:.1f} MB too many;"
                    " set QUANTLAB_DATA_LIMIT_MB higher."
                )
            return added

        return self._database.write(work)

    def find(self, comparison: Comparison) -> list[Stored]:
        """The latest result of each plan that has one, in the comparison's order; one that was
        measured here before any that was imported."""
        keys = [input_key(comparison, plan) for plan in comparison.plans]
        rows = self._database.read(
            lambda connection: [
                connection.execute(_latest(key, *_fields())).first() for key in keys
            ]
        )
        return _readable(row for row in rows if row is not None)

    def get(self, result: str) -> Stored | None:
        """The result of that id, or None."""
        if not _ID.fullmatch(result):
            return None
        query = select(*_fields()).where(results.c.id == result)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return next(iter(_readable(rows)), None)

    def recent(self, limit: int = 100, *, images: bool = True) -> list[Stored]:
        """The newest results first. Without ``images``, every ``image_png`` is None."""
        query = select(*_fields(images)).order_by(results.c.seq.desc()).limit(max(0, limit))
        return _readable(self._database.read(lambda connection: connection.execute(query).all()))

    def count(self) -> int:
        """How many results there are."""
        query = select(func.count()).select_from(results)
        return self._database.read(lambda connection: int(connection.scalar(query) or 0))

    def keep(self, comparison: Comparison) -> int:
        """Mark what ``find`` gives now, because a link was made; gives the number of rows."""
        keys = [input_key(comparison, plan) for plan in dict.fromkeys(comparison.plans)]

        def work(connection: Connection) -> int:
            found = (connection.scalar(_latest(key, results.c.seq)) for key in keys)
            wanted = [seq for seq in found if seq is not None]
            connection.execute(update(results).where(results.c.seq.in_(wanted)).values(kept=1))
            return len(wanted)

        return self._database.write(work)

    def keep_result(self, result: str) -> bool:
        """Mark one row, because a link to it was made; False where it is not there."""
        if not _ID.fullmatch(result):
            return False
        mark = update(results).where(results.c.id == result).values(kept=1)
        return self._database.write(lambda connection: connection.execute(mark).rowcount == 1)

    def save_guess(self, plan: str, model: str, told: bool) -> None:
        """Count one guess: whether somebody ``told`` the image of ``plan`` from the reference's.

        Beside these three only the day is known.

        Raises:
            ValueError: ``plan`` or ``model`` is not the text of one.
        """
        self._database.write(lambda connection: count_guess(connection, plan, model, told))

    def guesses(self) -> list[GuessTally]:
        """How often each plan was told from the reference, ordered by plan and model."""
        return self._database.read(tallies)

    def _make_room(self, connection: Connection, spare: str) -> None:
        excess = self._database.used_bytes(connection) - self._limit_bytes
        if excess <= 0:
            return
        doomed = []
        oldest = select(results.c.seq, results.c.bytes).order_by(results.c.seq)
        for seq, size in connection.execute(
            oldest.where(results.c.kept == 0, results.c.id != spare)
        ):
            doomed.append(seq)
            excess -= size
            if excess <= 0:
                break
        for seq in doomed:
            connection.execute(delete(results).where(results.c.seq == seq))
        self._database.give_back(connection)


def _limit_from_environment() -> int:
    text = os.environ.get("QUANTLAB_DATA_LIMIT_MB") or str(DEFAULT_LIMIT_MB)
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise InputError("QUANTLAB_DATA_LIMIT_MB", "must be a whole number of megabytes")
    return int(text) * 10**6


def _fields(images: bool = True) -> tuple[Any, ...]:
    """What ``from_row`` takes, in its order."""
    r = results.c
    return r.id, r.measured_at, r.imported_at, r.record, r.image if images else null()


def _latest(key: str, *fields: Any) -> Select[Any]:
    """The row to show for an input key: own rows before imported ones, then the newest."""
    order = (results.c.imported_at.is_not(None), results.c.seq.desc())
    return select(*fields).where(results.c.key == key).order_by(*order).limit(1)


def _is_there(connection: Connection, row: Mapping[str, Any]) -> bool:
    """The same result, or the same but for its image: an export may have left that out."""
    r = results.c
    moment = and_(r.key == row["key"], r.measured_at == row["measured_at"])
    query = select(*_fields(images=False)).where(or_(r.id == row["id"], moment))
    like = from_row("", row["measured_at"], None, row["record"], None)
    found = connection.execute(query).all()
    return any(
        one.id == row["id"] or replace(one, id="", imported_at=None) == like
        for one in _readable(found)
    )


def _readable(rows: Iterable[Row[Any]]) -> list[Stored]:
    """Rows as values; one that cannot be read is left out with a warning, not all of them."""
    found = []
    for row in rows:
        try:
            found.append(from_row(*tuple(row)))
        except (ValueError, TypeError, KeyError):
            logger.warning("stored result %s cannot be read; it is left out", row[0])
    return found


def _is_whole_png(data: bytes) -> bool:
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data[-8:-4] == b"IEND"
