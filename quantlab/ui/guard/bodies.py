"""How large a request may be: refused before anything parses it.

What the page or a program sends is a few kilobytes: texts are capped at some thousand characters
(values.py). Code that is pasted may have more, and the few routes by which it comes take it. A body
of 60 MB of JSON took 6.8 GB while it was parsed; a search text of 600 kB is refused by its length.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from quantlab.lab.check.code.text import LONGEST
from quantlab.ui.guard.asgi import App, Message, Receive, Refused, Scope, Send, header, refuse

__all__ = ["CODE", "MAX_BODY_BYTES", "Bodies"]

MAX_BODY_BYTES = 128 * 1024
"""32 plans of 2,000 characters and a prompt of 4,000, and twice that for how JSON writes them."""
_EVENTS = ("queue/join", "run/predict", "mcp")
_CHECKS = ("run/check", "api/check", "call/check", "call/v2/check")
CODE = {f"/gradio_api/{route}": LONGEST * 5 // 2 for route in (*_EVENTS, *_CHECKS)}
"""Bytes of what comes by the routes by which code comes: JSON writes a line's end, or a quotation
mark, as two characters."""
UPLOADS = ("/upload", "/gradio_api/upload")
TOO_SLOW = "The rest of this request did not come in time."


def _too_large(limit: int) -> str:
    said = f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit // 1024} KiB"
    return f"A request may have {said} at most."


class Bodies:
    """Middleware: bodies over ``limit`` bytes get 413, those that take longer than ``within_s``
    seconds 408; ``uploads`` maps routes to their own limits of bytes.

    Gradio's upload route is closed (404) unless it is named there: nothing on the page takes a
    file.
    """

    def __init__(
        self,
        app: App,
        limit: int = MAX_BODY_BYTES,
        uploads: dict[str, int] | None = None,
        within_s: float = 30.0,
    ) -> None:
        self._app, self._limit, self._uploads = app, limit, uploads or {}
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = str(scope["path"]).rstrip("/")
        if path in UPLOADS and path not in self._uploads and scope["method"] == "POST":
            await refuse(scope, receive, send, 404, "This page takes no files.")
            return
        limit = self._uploads.get(path, self._limit)
        said = header(scope, b"content-length")
        if said and (not said.isdecimal() or int(said[:20]) > limit):
            await refuse(scope, receive, send, 413, _too_large(limit))
            return
        await self._counted(scope, receive, send, limit)

    async def _counted(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        """The request handed on, and cut where more than ``limit`` bytes come unannounced, or the
        rest of them does not come."""
        taken, begun, why = 0, False, ""
        until, whole = time.monotonic() + self._within_s, False

        async def counted() -> Message:
            nonlocal taken, whole, why
            try:  # once the body is whole, this waits for the sender to leave
                left = None if whole else max(0.0, until - time.monotonic())
                message = await asyncio.wait_for(receive(), left)
            except TimeoutError:
                why = TOO_SLOW
                raise Refused from None
            whole = not message.get("more_body", False)
            taken += len(message.get("body", b""))
            if taken > limit:
                why = _too_large(limit)
                raise Refused
            return message

        async def told(message: Message) -> None:
            nonlocal begun
            if not why:  # else the framework answers that it could not read the body
                begun = True
                await send(message)

        with contextlib.suppress(Refused):
            await self._app(scope, counted, told)
        if why and not begun:
            await refuse(scope, receive, send, 408 if why == TOO_SLOW else 413, why)
