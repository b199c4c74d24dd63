"""Reading rows of results: which one to show, which is there already, which cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, null, or_, select

from quantlab.record.store.row import Stored, from_row
from quantlab.record.store.tables import results

__all__ = ["MOST_NEW", "fields", "is_there", "latest", "news", "readable"]

logger = logging.getLogger(__name__)
MOST_NEW = 1000
"""Rows that ``news`` gives at most."""


def fields(images: bool = True) -> tuple[Any, ...]:
    """What ``from_row`` takes, in its order."""
    r = results.c
    return r.id, r.measured_at, r.imported_at, r.record, r.image if images else null()


def latest(key: str, *fields: Any) -> Select[Any]:
    """The row to show for an input key: own rows before imported ones, then the newest."""
    order = (results.c.imported_at.is_not(None), results.c.seq.desc())
    return select(*fields).where(results.c.key == key).order_by(*order).limit(1)


def news(
    connection: Connection, seen: tuple[int, int] | None
) -> tuple[tuple[int, int], Sequence[Row[Any]]]:
    """The number of the newest row and how many rows there are; and those, without images, that
    came since ``seen``, which is such a pair: none where that is None."""
    number = results.c.seq
    summary = select(func.coalesce(func.max(number), 0), func.count()).select_from(results)
    newest, count = map(int, connection.execute(summary).one())
    if seen is None or newest <= seen[0]:
        return (newest, count), ()
    newer = select(*fields(images=False)).where(number > seen[0]).limit(MOST_NEW)
    return (newest, count), connection.execute(newer).all()


def is_there(connection: Connection, row: Mapping[str, Any]) -> bool:
    """The same result, or the same but for its image: an export may have left that out."""
    r = results.c
    moment = and_(r.key == row["key"], r.measured_at == row["measured_at"])
    query = select(*fields(images=False)).where(or_(r.id == row["id"], moment))
    like = from_row("", row["measured_at"], None, row["record"], None)
    found = connection.execute(query).all()
    return any(
        one.id == row["id"] or replace(one, id="", imported_at=None) == like
        for one in readable(found)
    )


def readable(rows: Iterable[Row[Any]]) -> list[Stored]:
    """Rows as values; one that cannot be read is left out with a warning, not all of them."""
    found = []
    for row in rows:
        try:
            found.append(from_row(*tuple(row)))
        except (ValueError, TypeError, KeyError):
            logger.warning("stored result %s cannot be read; it is left out", row[0])
    return found
