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

import hashlib
import logging
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from quantlab.errors import InputError, StoreError
from quantlab.record.store.database import open_database
from quantlab.record.store.guesses import GuessTally, count_guess, tallies
from quantlab.record.store.queries import MOST_NEW, fields, is_there, latest, news, readable
from quantlab.record.store.retention import make_room, moment, pin
from quantlab.record.store.row import Stored, input_key, now, to_row
from quantlab.record.store.shares import Shared, add_share, find_share, forget_shares
from quantlab.record.store.tables import results
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome

__all__ = ["DEFAULT_LIMIT_MB", "Shared", "Store", "Stored"]

DEFAULT_LIMIT_MB = 2048
"""Megabytes of 10**6 bytes."""

_ID = re.compile("[a-z2-7]{12}")

logger = logging.getLogger(__name__)


class Store:
    """The results in ``folder``, held under ``limit_bytes``.

    Without a folder: those in the PostgreSQL that ``QUANTLAB_DATABASE_URL`` names, else those in
    ``data_folder()``. The limit is ``QUANTLAB_DATA_LIMIT_MB`` where none is given. Over it, the
    oldest runs go first; what was shared and the run just saved stay, so it can be passed by those
    (retention.py).

    Safe to share between threads, processes and forks. Every method may raise ``StoreError``, with
    one sentence that says what is wrong: the disk is full, the folder read-only, the server down.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self._limit_bytes = _limit_from_environment() if limit_bytes is None else limit_bytes
        self._database = open_database(folder)
        self.writes = 0
        """How often this process has kept or removed results: what was read before may be old."""
        self.card_writes = 0
        """The same, those of a CPU left out: they say nothing of a card."""
        self._seen: tuple[int, int] | None = None
        """The newest row and how many there are, as of the last ``notice``."""

    def save(
        self,
        comparison: Comparison,
        index: int,
        outcome: Outcome,
        image_png: bytes | None,
        device: Mapping[str, Any],
        versions: Mapping[str, Any],
        *,
        run: str | None = None,
        secret: str | None = None,
    ) -> str | None:
        """Keep the outcome of plan ``index`` and its image; gives the new row's id.

        What has the same ``run`` goes or stays together; who knows ``secret`` may delete it.
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
        new |= {"run": run, "owner": None if secret is None else owner_of(secret)}

        def work(connection: Connection) -> None:
            known = select(results.c.seq).where(results.c.id == new["id"])
            if connection.scalar(known) is None:
                connection.execute(insert(results), new)
            self._make_room(connection, spare=new["id"])

        self._database.write(work)
        self._changed(cards=device.get("kind") != "cpu")
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
                if not is_there(connection, row):
                    connection.execute(insert(results), row)
                    added += 1
            over = self._database.used_bytes(connection) - self._limit_bytes
            if added and over > 0:
                raise StoreError(
                    f"There is no room for these results: {over / 1e6:.1f} MB too many;"
                    " set QUANTLAB_DATA_LIMIT_MB higher."
                )
            return added

        added = self._database.write(work)
        self._changed()
        return added

    def find(self, comparison: Comparison) -> list[Stored]:
        """The latest result of each plan that has one, in the comparison's order; one that was
        measured here before any that was imported."""
        keys = [input_key(comparison, plan) for plan in comparison.plans]
        rows = self._database.read(
            lambda connection: [connection.execute(latest(key, *fields())).first() for key in keys]
        )
        return readable(row for row in rows if row is not None)

    def get(self, result: str) -> Stored | None:
        """The result of that id, or None."""
        if not _ID.fullmatch(result):
            return None
        query = select(*fields()).where(results.c.id == result)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return next(iter(readable(rows)), None)

    def recent(self, limit: int = 100, *, images: bool = True) -> list[Stored]:
        """The newest results first. Without ``images``, every ``image_png`` is None."""
        query = select(*fields(images)).order_by(results.c.seq.desc()).limit(max(0, limit))
        return readable(self._database.read(lambda connection: connection.execute(query).all()))

    def count(self) -> int:
        """How many results there are."""
        query = select(func.count()).select_from(results)
        return self._database.read(lambda connection: int(connection.scalar(query) or 0))

    def share(self, comparison: Comparison, ids: Sequence[str]) -> str | None:
        """Freeze the results ``ids``, in the order of the plans, as what ``comparison`` showed.

        They stay for a while (retention.py). Gives the id of the share, or None where one of them
        is not stored here.
        """
        wanted = tuple(dict.fromkeys(ids))

        def work(connection: Connection) -> str | None:
            there = select(func.count()).where(results.c.id.in_(wanted))
            if not wanted or connection.scalar(there) != len(wanted):
                return None
            pin(connection, wanted, self._limit_bytes)
            return add_share(connection, comparison, wanted)

        return self._database.write(work)

    def shared(self, share: str) -> Shared | None:
        """What was frozen under that id, as far as it is still here, or None."""
        if not _ID.fullmatch(share):
            return None
        frozen = self._database.read(lambda connection: find_share(connection, share))
        if frozen is None:
            return None
        found = [stored for result in frozen.results if (stored := self.get(result))]
        missing = len(frozen.results) - len(found)
        return Shared(frozen.comparison, frozen.made_at, tuple(found), missing)

    def delete(
        self,
        ids: Collection[str] | None = None,
        *,
        older_than_days: float | None = None,
        search: str | None = None,
        secret: str | None = None,
    ) -> int:
        """Remove the results that meet every condition, their pictures, and shares that show them.

        Args:
            ids: only these.
            older_than_days: only what was measured longer ago.
            search: only where this text stands in the prompt or a plan, whatever its case.
            secret: only what was saved with it.

        Returns:
            How many results were removed; without any condition none is.
        """
        r = results.c
        conditions: list[ColumnElement[bool]] = []
        if ids is not None:
            conditions.append(r.id.in_(list(ids)))
        if older_than_days is not None:
            conditions.append(r.measured_at < moment(older_than_days))
        if secret is not None:
            conditions.append(r.owner == owner_of(secret))

        def work(connection: Connection) -> int:
            rows = connection.execute(select(*fields(images=False)).where(*conditions)).all()
            doomed = [row[0] for row in rows]
            if search is not None:
                doomed = [row.id for row in readable(rows) if row.mentions(search)]
            forget_shares(connection, doomed)
            for result in doomed:
                connection.execute(delete(results).where(r.id == result))
            self._database.give_back(connection)
            return len(doomed)

        if not conditions and search is None:
            return 0
        gone = self._database.write(work)
        self._changed()
        return gone

    def _changed(self, *, cards: bool = True) -> None:
        """Count a change; ``cards`` is whether results of a card may be among what changed."""
        self.writes += 1
        self.card_writes += cards

    def notice(self) -> None:
        """Count what anybody kept or removed since the last time as a change; nothing at first.

        Raises:
            StoreError: it cannot be read.
        """
        last = self._seen
        self._seen, new = self._database.read(lambda connection: news(connection, last))
        if last is not None and self._seen != last:
            gone = self._seen[1] < last[1] + len(new) or len(new) == MOST_NEW
            cards = any(row.device.get("kind") != "cpu" for row in readable(new))
            self._changed(cards=gone or cards)

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
        if excess > 0 and make_room(connection, excess, spare):
            self._database.give_back(connection)


def owner_of(secret: str) -> str:
    """What the store keeps of a secret: its digest, from which nobody gets it back."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _limit_from_environment() -> int:
    text = os.environ.get("QUANTLAB_DATA_LIMIT_MB") or str(DEFAULT_LIMIT_MB)
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise InputError("QUANTLAB_DATA_LIMIT_MB", "must be a whole number of megabytes")
    return int(text) * 10**6


def _is_whole_png(data: bytes) -> bool:
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data[-8:-4] == b"IEND"
