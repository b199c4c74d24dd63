"""Agents that leave in the middle of a call: what runs for them stops.

Gradio runs an agent's call as a call of its own to itself, so that its queue hears of nobody who
left, and every agent comes from this machine. Here each call of a tool gets a name, which goes with
it as a header, and is left by that name when the agent's connection ends; and so does the address
of an agent who came without a proxy, in the place where proxies write it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, MutableSet

from quantlab.ui.guard.asgi import App, Message, Receive, Scope, Send, replayed, whole
from quantlab.ui.guard.hosts import is_public

__all__ = ["FROM", "NAME", "Leaving", "call_of"]

TOOLS = "/gradio_api/mcp"
NAME = "x-quantlab-call"
FROM = b"x-forwarded-for"
"""Where proxies write whom they pass on, and this page where an agent's own call comes from."""


def call_of(headers: Mapping[str, str]) -> str | None:
    """The name of an agent's call, among the headers that its handler sees; None of others."""
    return headers.get(NAME)


class Leaving:
    """Middleware: ``left`` is called with the name of a call whose agent is gone, or has its
    answer. ``calls`` has the names of those that are under way."""

    def __init__(self, app: App, left: Callable[[str], object], calls: MutableSet[str]) -> None:
        self._app, self._left, self._calls = app, left, calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] == "POST"
        if not asks or not str(scope["path"]).startswith(TOOLS):
            await self._app(scope, receive, send)
            return
        name, gone = secrets.token_hex(16), asyncio.Event()
        named = {**scope, "headers": _named(scope, name)}
        messages = await whole(receive)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            self._left(name)

        async def nothing_more() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        watching = asyncio.ensure_future(watch())
        self._calls.add(name)
        try:
            await self._app(named, replayed(messages, nothing_more), send)
        finally:
            self._calls.discard(name)
            watching.cancel()


def _named(scope: Scope, name: str) -> list[tuple[bytes, bytes]]:
    """The headers of a call with its name and where it comes from, whatever they said before."""
    client = str((scope.get("client") or ("",))[0])
    told = {NAME.encode(): name.encode()}
    if is_public(client):
        told[FROM] = client.encode()
    return [pair for pair in scope["headers"] if pair[0] not in told] + list(told.items())
