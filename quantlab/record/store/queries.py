"""Reading rows of results: which one to show, which is there already, which cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, null, or_, select

from quantlab.record.store.row import Stored, from_row
from quantlab.record.store.tables import results

__all__ = ["fields", "is_there", "latest", "readable"]

logger = logging.getLogger(__name__)


def fields(images: bool = True) -> tuple[Any, ...]:
    """What ``from_row`` takes, in its order."""
    r = results.c
    return r.id, r.measured_at, r.imported_at, r.record, r.image if images else null()


def latest(key: str, *fields: Any) -> Select[Any]:
    """The row to show for an input key: own rows before imported ones, then the newest."""
    order = (results.c.imported_at.is_not(None), results.c.seq.desc())
    return select(*fields).where(results.c.key == key).order_by(*order).limit(1)


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
