"""What is served: of Gradio's addresses those that this page needs, and no other.

Gradio has many more, for what this page does not do: one fetches any public address for whoever
asks, one unpacks films, one resizes an icon to any size, one prints what it was asked into the log.
What is not named here is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from quantlab.ui.guard.asgi import App, Receive, Scope, Send, refuse

__all__ = ["MAX_SESSION", "Doors", "is_session"]

WHOLE = (
    "",
    "/config",
    "/theme.css",
    "/favicon.ico",
    "/manifest.json",
    "/robots.txt",
    "/gradio_api/app_id",
    "/gradio_api/cancel",
    "/gradio_api/component_server",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/gradio_api/queue/data",
    "/gradio_api/queue/join",
    "/gradio_api/queue/status",
    "/gradio_api/reset",
    "/gradio_api/startup-events",
    "/gradio_api/theme.css",
)
"""Addresses, without a slash at their end; "" is the page."""
BEGINNINGS = (
    "/assets/",
    "/static/",
    "/gradio_api/api/",
    "/gradio_api/call/",
    "/gradio_api/file=",
    "/gradio_api/file/",
    "/gradio_api/heartbeat/",
    "/gradio_api/mcp",
    "/gradio_api/run/",
)
FILES = re.compile(r"/gradio_api/file[=/]\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)
"""A file of another host."""
HEARTBEAT = "/gradio_api/heartbeat/"
MAX_SESSION = 64
"""Characters of a session's name: browsers send eleven, and each name is kept with what is its."""
NOTHING = "There is nothing at this address."


def is_session(name: object) -> bool:
    """Whether ``name`` may be that of a session; None is no name, and fine."""
    return name is None or (isinstance(name, str) and len(name) <= MAX_SESSION)


class Doors:
    """Middleware: 404 for all but the addresses above, and those that begin as ``more`` do."""

    def __init__(self, app: App, more: Iterable[str] = ()) -> None:
        self._app, self._beginnings = app, (*BEGINNINGS, *more)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._open(str(scope["path"])):
            await refuse(scope, receive, send, 404, NOTHING)
            return
        await self._app(scope, receive, send)

    def _open(self, path: str) -> bool:
        if path.rstrip("/") in WHOLE:
            return True
        if not path.startswith(self._beginnings) or FILES.match(path):
            return False
        return not path.startswith(HEARTBEAT) or is_session(path.removeprefix(HEARTBEAT))
