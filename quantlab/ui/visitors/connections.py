"""Connections that say nothing, or never end what they began to say, make room for others.

A connection costs a descriptor from the moment that it is made, and no part of the page hears of it
before the head of a request is whole: uvicorn waits for that without end. Its limit of connections
answers everybody with 503 once somebody has opened enough of them; here those go that are idle, the
longest idle of whoever has most of them first. How many requests of one visitor are answered at
once: crowd.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from quantlab.ui.visitors.limits import Limits

__all__ = ["Connection", "connecting"]


class Connection(H11Protocol):
    """One connection, closed where no request's head is whole ``limits.head_s`` after it was made
    or the last answer was given."""

    def __init__(self, *args: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._idle_since = self.loop.time()
        self._look_again: asyncio.TimerHandle | None = None

    @property
    def _host(self) -> str:
        return self.client[0] if self.client else ""

    @property
    def idle(self) -> bool:
        """Whether no request of it is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()
        if len(self.connections) > self._limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def _look(self) -> None:
        if self not in self.connections or self.transport.is_closing():
            return
        waited = self.loop.time() - self._idle_since if self.idle else 0.0
        if waited >= self._limits.head_s:
            self.transport.close()
        else:
            self._look_again = self.loop.call_later(self._limits.head_s - waited, self._look)

    def _make_room(self) -> None:
        """Cut the connection that was idle longest of the address that has most that are; this one
        where all others are answered."""
        others = (each for each in self.connections if isinstance(each, Connection))
        idle = [each for each in others if each.idle]  # this one is
        crowd = Counter(each._host for each in idle)
        doomed = min(idle, key=lambda each: (-crowd[each._host], each._idle_since))
        doomed.transport.abort()


def connecting(limits: Limits) -> Callable[..., Connection]:
    """What uvicorn makes a connection by, as its setting ``http_protocol_class``."""
    return partial(Connection, limits=limits)
