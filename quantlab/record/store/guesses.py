"""How often people tell a plan's image from the reference's, without knowing which is which.

Counts only: nothing about the person who guessed is known here or kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from quantlab.record.store.row import now
from quantlab.record.store.tables import guesses

__all__ = ["GuessTally", "count_guess", "tallies"]


@dataclass(frozen=True)
class GuessTally:
    """Guesses about ``plan`` on ``model``: ``told`` of ``shown`` named the quantized image."""

    plan: str
    model: str
    told: int
    shown: int


def count_guess(connection: Connection, plan: str, model: str, told: bool) -> None:
    """Add one guess to today's count. ``connection`` is the only writer.

    Raises:
        ValueError: ``plan`` or ``model`` is not the text of one.
    """
    if not all(text.isascii() and text.isprintable() for text in (plan, model)):
        raise ValueError("plan and model are texts of printable ASCII characters")
    which = {"plan": plan, "model": model, "day": now()[:10]}
    more = {"told": guesses.c.told + int(told), "shown": guesses.c.shown + 1}
    done = connection.execute(update(guesses).filter_by(**which).values(**more))
    if done.rowcount == 0:
        connection.execute(insert(guesses).values(**which, told=int(told), shown=1))


def tallies(connection: Connection) -> list[GuessTally]:
    """The counts of all days together, ordered by plan and model."""
    g = guesses.c
    query = select(g.plan, g.model, func.sum(g.told), func.sum(g.shown)).group_by(g.plan, g.model)
    rows = (
        (str(row[0]), str(row[1]), int(row[2]), int(row[3])) for row in connection.execute(query)
    )
    return [GuessTally(*row) for row in sorted(rows)]
