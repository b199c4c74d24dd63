"""What a request made Gradio stumble over: one short answer, and one line of the log.

Gradio looks handlers up by the number or name that the sender gives, and answers 500 with a trace
in the log where there is none. That is the sender's fault, not the server's.
"""

from __future__ import annotations

import logging

from gradio.route_utils import FnIndexInferError
from starlette.exceptions import HTTPException

from quantlab.ui.guard.asgi import App, Message, Receive, Refused, Scope, Send, refuse

__all__ = ["Faults"]

log = logging.getLogger(__name__)
LOOKUPS = (
    FnIndexInferError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    ValueError,
    RecursionError,
)
"""What looking up a handler that does not exist, or unpacking its values, ends with."""


class Faults:
    """Middleware: an exception becomes 400 where a posted request was read, else 500."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Refused:
            raise
        except Exception as error:  # border: the server goes on whatever one request did
            theirs = scope["method"] == "POST" and isinstance(error, LOOKUPS)
            log.warning("%s %s: %s", scope["method"], scope["path"], type(error).__name__)
            if begun and isinstance(error.__cause__, HTTPException):
                # A stream that nobody began, or of a server that is gone: it has been told so.
                await send({"type": "http.response.body", "body": b""})
                return
            if begun:
                raise
            if theirs:
                await refuse(scope, receive, send, 400, "This is no request of this page.")
            else:
                log.error("a request failed", exc_info=error)
                await refuse(scope, receive, send, 500, "Something went wrong on this page.")
