"""How much of the server works for one visitor at once, so that whoever asks little waits little.

Python computes for one at a time: with forty threads at work for somebody who asks without end, an
answer from memory waits for a second. Here a visitor has a few requests worked on and the rest wait
for those, and a few more events in Gradio's queue, which has no more room for all visitors
together. Nobody is refused; how many requests may wait: crowd.py.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from quantlab.ui.guard.asgi import App, Message, Receive, Scope, Send
from quantlab.ui.guard.hosts import address, visitor

__all__ = ["InTurn", "Pending", "Turns", "of_request", "waits"]

EACH = 2
"""Of one visitor."""
MOST = 8
"""Of all together."""
PENDING = 16
"""Events of one visitor in Gradio's queue beside those that wait for a run."""
MADE = ("", "/config", "/preview.png", "/gradio_api/component_server")
"""Addresses beside Gradio's events for which something may have to be made; "" is the page. An
answer (ui/kept/answers.py) takes a turn where it is made; one that is kept waits for none."""


class Turns:
    """Lets ``each`` of what one visitor asks be worked on at once, and ``most`` in all."""

    def __init__(self, each: int = EACH, most: int = MOST) -> None:
        self._each, self._all = each, asyncio.Semaphore(most)
        self._own: dict[str, asyncio.Semaphore] = {}
        self._asked: Counter[str] = Counter()

    @asynccontextmanager
    async def of(self, who: str) -> AsyncIterator[None]:
        """Wait until it is the turn of what ``who`` asks, and take it for as long as this lasts."""
        own = self._own.setdefault(who, asyncio.Semaphore(self._each))
        self._asked[who] += 1
        try:
            async with own, self._all:
                yield
        finally:
            self._asked[who] -= 1
            if not self._asked[who]:
                del self._asked[who], self._own[who]


class InTurn:
    """Middleware: what is made for a request, beside Gradio's events, is made in its turn; which
    ends when the answer begins, for whoever reads it may take their time."""

    def __init__(self, app: App, turns: Turns) -> None:
        self._app, self._turns = app, turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or str(scope.get("path")).rstrip("/") not in MADE:
            await self._app(scope, receive, send)
            return
        async with AsyncExitStack() as turn:
            await turn.enter_async_context(self._turns.of(visitor(scope)))

            async def told(message: Message) -> None:
                await turn.aclose()
                await send(message)

            await self._app(scope, receive, told)


class Pending(dict[str, Any]):
    """Gradio's events by their ids, of one visitor ``most``: there is room for the next one when
    one of those has ended. Those whose handlers wait for a run do not count: the line of jobs
    (ui/jobs.py) holds them."""

    def __init__(self, most: int = PENDING) -> None:
        super().__init__()
        self._most = most
        self._whose: dict[str, str] = {}
        self._room: dict[str, asyncio.Semaphore] = {}
        self._asked: Counter[str] = Counter()

    def __setitem__(self, name: str, event: Any) -> None:
        if not waits(event.fn):
            self._whose[name] = of_request(event.request)
        super().__setitem__(name, event)

    def pop(self, name: str, *default: Any) -> Any:
        """As of a dict; the visitor whose event it was has room for another."""
        if (who := self._whose.pop(name, None)) is not None:
            self._left(who)
        return super().pop(name, *default)

    def holding(self, push: Callable[..., Any], handlers: Mapping[int, Any]) -> Callable[..., Any]:
        """Gradio's ``push``, which puts an event among these, when there is room; ``handlers`` are
        those of the page by number."""

        async def in_turn(body: Any, request: Any, username: str | None) -> Any:
            handler = handlers.get(body.fn_index)
            if handler is None or waits(handler):
                return await push(body=body, request=request, username=username)
            who = of_request(request)
            self._asked[who] += 1
            try:
                await self._room.setdefault(who, asyncio.Semaphore(self._most)).acquire()
            except asyncio.CancelledError:
                self._forget(who)
                raise
            pushed = False
            try:
                told = await push(body=body, request=request, username=username)
                pushed = bool(told[0])
                return told
            finally:
                if not pushed:
                    self._left(who)

        return in_turn

    def _left(self, who: str) -> None:
        self._room[who].release()
        self._forget(who)

    def _forget(self, who: str) -> None:
        self._asked[who] -= 1
        if not self._asked[who]:
            del self._asked[who], self._room[who]


def waits(handler: Any) -> bool:
    """Whether one of Gradio's handlers waits for a run, and does not compute itself."""
    function = handler.fn
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def of_request(request: Any) -> str:
    """Whose a request is, as Starlette and Gradio have it; "" where nobody knows."""
    headers: Mapping[str, str] = getattr(request, "headers", None) or {}
    client = getattr(request, "client", None)
    return address(headers, getattr(client, "host", None)) or ""
