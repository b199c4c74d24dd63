"""A run as somebody saw it, frozen under a short id: later runs never change what it shows.

What retention has taken is missing from it; the comparison itself stays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from quantlab.record.store.retention import moment
from quantlab.record.store.row import Stored, comparison_of, comparison_text, short_hash
from quantlab.record.store.tables import shares
from quantlab.words.comparison import Comparison

__all__ = ["MAX_SHARES", "Share", "Shared", "add_share", "find_share", "forget_shares"]

MAX_SHARES = 10_000
"""Beyond them the oldest go: each is a few hundred bytes."""


@dataclass(frozen=True)
class Share:
    """What was frozen: the ids of the results that were shown, in the order of the plans."""

    comparison: Comparison
    made_at: str
    results: tuple[str, ...]


@dataclass(frozen=True)
class Shared:
    """A share as it can be shown now: ``found`` are the results that are still there."""

    comparison: Comparison
    made_at: str
    found: tuple[Stored, ...]
    missing: int


def add_share(connection: Connection, comparison: Comparison, results: Sequence[str]) -> str:
    """Keep a share; gives its id, the same for the same results of the same comparison."""
    text = comparison_text(comparison)
    new = short_hash("share", text, *results)
    if find_share(connection, new) is None:
        values = {"id": new, "made_at": moment(), "comparison": text}
        connection.execute(insert(shares).values(**values, results=json.dumps(list(results))))
        _keep_within(connection)
    return new


def find_share(connection: Connection, wanted: str) -> Share | None:
    """The share of that id, or None."""
    s = shares.c
    query = select(s.comparison, s.made_at, s.results).where(s.id == wanted)
    row = connection.execute(query).first()
    if row is None:
        return None
    return Share(comparison_of(row.comparison), row.made_at, tuple(json.loads(row.results)))


def forget_shares(connection: Connection, results: Sequence[str]) -> int:
    """Delete the shares that show one of ``results``; gives how many."""
    gone, wanted = 0, set(results)
    for share, text in connection.execute(select(shares.c.id, shares.c.results)).all():
        if wanted & set(json.loads(text)):
            gone += connection.execute(delete(shares).where(shares.c.id == share)).rowcount
    return gone


def _keep_within(connection: Connection) -> None:
    over = (connection.scalar(select(func.count()).select_from(shares)) or 0) - MAX_SHARES
    if over > 0:
        oldest = select(shares.c.id).order_by(shares.c.made_at).limit(over)
        connection.execute(delete(shares).where(shares.c.id.in_(oldest)))
