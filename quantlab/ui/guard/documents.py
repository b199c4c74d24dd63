"""Bodies that say they are JSON are: what cannot be read is refused in one place, for all routes.

Each route would read it for itself, and some answer that the server has failed, with a trace in the
log: lists 200,000 deep, numbers of 5,000 digits, bytes that are no text. And a session's name is
kept for as long as the session: one of a megabyte, of five hundred who made theirs up, is not.
"""

from __future__ import annotations

import json

from quantlab.ui.guard.asgi import App, Receive, Scope, Send, header, refuse, replayed, whole
from quantlab.ui.guard.doors import is_session

__all__ = ["Documents"]

NOT_READ = "This body is no JSON that this page can read."


class Documents:
    """Middleware: a posted body of JSON that cannot be read gets 400. Its size: bodies.py."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_json(scope):
            await self._app(scope, receive, send)
            return
        messages = await whole(receive)
        body = b"".join(message.get("body", b"") for message in messages)
        try:
            # What may be empty is known where it is read.
            found = json.loads(body) if body else None
            if isinstance(found, dict) and not is_session(found.get("session_hash")):
                raise ValueError("this is the name of no session")
        except (ValueError, RecursionError):
            await refuse(scope, receive, send, 400, NOT_READ)
            return
        await self._app(scope, replayed(messages, receive), send)


def _is_json(scope: Scope) -> bool:
    """Whether the body is read as JSON: where it says so, and where Gradio does though it says
    nothing, or something else."""
    kind, path = header(scope, b"content-type").lower(), str(scope["path"])
    if "json" in kind:
        return True
    posted = scope["method"] == "POST" and path.startswith("/gradio_api/")
    return posted and (not kind or path.rstrip("/") == "/gradio_api/component_server")
