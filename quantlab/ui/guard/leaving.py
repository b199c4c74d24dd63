"""Agents that leave in the middle of a call: what runs for them stops.

Gradio runs an agent's call as a call of its own to itself, so that its queue hears of nobody who
left. Here each call of a tool gets a name, which goes with it as a header, and is left by that name
when the agent's connection ends.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping

from quantlab.ui.guard.asgi import App, Message, Receive, Scope, Send, replayed, whole

__all__ = ["Leaving", "call_of"]

TOOLS = "/gradio_api/mcp"
NAME = "x-quantlab-call"


def call_of(headers: Mapping[str, str]) -> str | None:
    """The name of an agent's call, among the headers that its handler sees; None of others."""
    return headers.get(NAME)


class Leaving:
    """Middleware: ``left`` is called with the name of a call whose agent is gone, or has its
    answer."""

    def __init__(self, app: App, left: Callable[[str], object]) -> None:
        self._app, self._left = app, left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] == "POST"
        if not asks or not str(scope["path"]).startswith(TOOLS):
            await self._app(scope, receive, send)
            return
        name, gone = secrets.token_hex(16), asyncio.Event()
        headers = [pair for pair in scope["headers"] if pair[0] != NAME.encode()]
        named = {**scope, "headers": [*headers, (NAME.encode(), name.encode())]}
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
        try:
            await self._app(named, replayed(messages, nothing_more), send)
        finally:
            watching.cancel()
