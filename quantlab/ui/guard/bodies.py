"""How large a request may be: refused before anything parses it.

Nothing that the page or a program sends comes near a megabyte: prompts and plans are capped at a
few thousand characters. A body of 60 MB of JSON took 6.8 GB while it was parsed.
"""

from __future__ import annotations

import contextlib

from quantlab.ui.guard.asgi import App, Message, Receive, Scope, Send, header, refuse

__all__ = ["MAX_BODY_BYTES", "Bodies"]

MAX_BODY_BYTES = 2**20
"""1 MiB."""
UPLOADS = ("/upload", "/gradio_api/upload")


def _too_large(limit: int) -> str:
    return f"A request may have {limit // 2**20} MiB at most."


class _TooLarge(Exception):
    """More came than the header said, or it said nothing."""


class Bodies:
    """Middleware: bodies over ``limit`` bytes get 413; ``uploads`` maps routes to their own limits.

    Gradio's upload route is closed (404) unless it is named there: nothing on the page takes a
    file.
    """

    def __init__(
        self, app: App, limit: int = MAX_BODY_BYTES, uploads: dict[str, int] | None = None
    ) -> None:
        self._app, self._limit, self._uploads = app, limit, uploads or {}

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
        if said and (not said.isdigit() or int(said[:20]) > limit):
            await refuse(scope, receive, send, 413, _too_large(limit))
            return
        await self._counted(scope, receive, send, limit)

    async def _counted(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        """The request handed on, and cut where more than ``limit`` bytes come unannounced."""
        taken, begun = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise _TooLarge
            return message

        async def told(message: Message) -> None:
            nonlocal begun
            if taken <= limit:  # else the framework answers that it could not read the body
                begun = True
                await send(message)

        with contextlib.suppress(_TooLarge):
            await self._app(scope, counted, told)
        if taken > limit and not begun:
            await refuse(scope, receive, send, 413, _too_large(limit))
