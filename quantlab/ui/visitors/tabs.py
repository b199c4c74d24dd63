"""Whose state goes first where too many visitors have come: not theirs whose page is open.

Gradio forgets the state of the visitor who was idle longest. Whoever made up enough visitors could
have it forget those of all others; an open tab keeps a stream, of which one visitor has few.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

from quantlab.ui.guard.asgi import App, Receive, Scope, Send

__all__ = ["Sessions", "Tabs", "Watched"]

STREAM = "/gradio_api/heartbeat/"
"""Kept open by each tab, under its session's name."""


class Tabs:
    """The sessions whose page is open in a tab now."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def __contains__(self, session: str) -> bool:
        return self._open[session] > 0

    def opened(self, session: str) -> None:
        """One more tab of that session, for as long as it is not closed."""
        self._open[session] += 1

    def closed(self, session: str) -> None:
        """One less."""
        self._open[session] -= 1
        if self._open[session] <= 0:
            del self._open[session]


class Watched:
    """Middleware: tells ``tabs`` of the streams that tabs keep open."""

    def __init__(self, app: App, tabs: Tabs) -> None:
        self._app, self._tabs = app, tabs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path"))
        if scope["type"] != "http" or not path.startswith(STREAM):
            await self._app(scope, receive, send)
            return
        session = path.removeprefix(STREAM).strip("/")
        self._tabs.opened(session)
        try:
            await self._app(scope, receive, send)
        finally:
            self._tabs.closed(session)


class Sessions(OrderedDict[str, Any]):
    """States by session, the one that was used longest ago first; of which Gradio takes the first
    away where there are too many."""

    def __init__(self, tabs: Tabs) -> None:
        super().__init__()
        self._tabs = tabs

    def popitem(self, last: bool = True) -> tuple[str, Any]:
        """The first of those whose tab is not open; of all, where all are."""
        if last:
            return super().popitem()
        first = next(iter(self))
        name = next((each for each in self if each not in self._tabs), first)
        return name, self.pop(name)
