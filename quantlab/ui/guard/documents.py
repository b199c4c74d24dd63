"""Bodies that say they are JSON are: what cannot be read is refused in one place, for all routes.

Each route would read it for itself, and some answer that the server has failed, with a trace in the
log: lists 200,000 deep, numbers of 5,000 digits, bytes that are no text.
"""

from __future__ import annotations

import json

from quantlab.ui.guard.asgi import App, Receive, Scope, Send, header, refuse, replayed, whole

__all__ = ["Documents"]

NOT_READ = "This body is no JSON that can be read."


class Documents:
    """Middleware: a posted body of JSON that cannot be read gets 400. Its size: bodies.py."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "json" not in header(scope, b"content-type").lower():
            await self._app(scope, receive, send)
            return
        messages = await whole(receive)
        body = b"".join(message.get("body", b"") for message in messages)
        try:
            if body:  # what may be empty is known where it is read
                json.loads(body)
        except (ValueError, RecursionError):
            await refuse(scope, receive, send, 400, NOT_READ)
            return
        await self._app(scope, replayed(messages, receive), send)
