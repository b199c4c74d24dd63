"""What goes when the results outgrow their limit, and what stays: in one place, in three rules.

1. What was measured together goes or stays together: a run is never cut in two. The oldest run
   goes first; the one that was just saved stays.
2. What somebody shared stays ``PIN_DAYS`` days, counted from the last time it was shared. Reading
   never makes anything stay.
3. What is shared may take ``PINNED_PART`` of the limit; beyond that the oldest shares let go.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from quantlab.record.store.tables import results

__all__ = ["PINNED_PART", "PIN_DAYS", "make_room", "moment", "pin"]

PIN_DAYS = 180
PINNED_PART = 0.5


def moment(days_ago: float = 0) -> str:
    """A moment in UTC as the store writes it; ISO 8601 texts compare as the moments do."""
    then = datetime.now(UTC) - timedelta(days=days_ago)
    return then.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _unit() -> ColumnElement[str]:
    """What goes or stays whole: a run, or a row that belongs to none."""
    return func.coalesce(results.c.run, results.c.id)


def make_room(connection: Connection, excess: int, spare: str) -> int:
    """Delete the oldest runs until ``excess`` bytes are gone, never that of row ``spare``.

    Gives how many results went; what is left may still be too much, where the rest is shared.
    """
    pinned = select(_unit()).where(results.c.pinned_at >= moment(PIN_DAYS))
    saved = select(_unit()).where(results.c.id == spare)
    oldest = (
        select(_unit(), func.sum(results.c.bytes))
        .where(_unit().not_in(pinned), _unit().not_in(saved))
        .group_by(_unit())
        .order_by(func.min(results.c.seq))
    )
    doomed: list[str] = []
    for unit, size in connection.execute(oldest):
        if excess <= 0:
            break
        doomed.append(unit)
        excess -= int(size)
    gone = 0
    for unit in doomed:
        gone += connection.execute(delete(results).where(_unit() == unit)).rowcount
    return gone


def pin(connection: Connection, ids: Collection[str], limit_bytes: int) -> None:
    """Have the results of ``ids`` stay, and the oldest pins let go where they are too many."""
    r = results.c
    connection.execute(update(results).where(r.id.in_(ids)).values(pinned_at=moment()))
    room = int(limit_bytes * PINNED_PART)
    newest: Any = select(r.id, r.bytes).where(r.pinned_at.is_not(None))
    for result, size in connection.execute(newest.order_by(r.pinned_at.desc(), r.seq.desc())).all():
        room -= int(size)
        if room < 0 and result not in ids:
            connection.execute(update(results).where(r.id == result).values(pinned_at=None))
