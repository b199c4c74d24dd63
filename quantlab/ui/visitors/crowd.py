"""How many requests of one visitor are answered at once.

Each request that is being answered keeps a connection, and streams keep theirs for as long as their
reader likes: one visitor could take all that there are.
"""

from __future__ import annotations

from collections import Counter

from quantlab.ui.guard.asgi import App, Receive, Scope, Send, refuse
from quantlab.ui.guard.hosts import visitor

__all__ = ["Crowd"]

TOO_MANY = "Too many requests of yours are being answered; close a few tabs of this page."


class Crowd:
    """Middleware: the requests of an address beyond ``most`` at once get 429."""

    def __init__(self, app: App, most: int) -> None:
        self._app, self._most = app, most
        self._now: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        who = visitor(scope)
        if self._now[who] >= self._most:
            await refuse(scope, receive, send, 429, TOO_MANY)
            return
        self._now[who] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._now[who] -= 1
            if not self._now[who]:
                del self._now[who]
