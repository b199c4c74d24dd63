"""Where a request says that it came from: believed where a proxy is known to stand before the page.

Anybody may write ``X-Forwarded-For``. Where no proxy adds to it, whoever does would be a new
visitor with every request, and no limit that is held against a visitor would hold.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping
from urllib.parse import urlsplit

from quantlab.ui.guard.asgi import App, Receive, Scope, Send, header
from quantlab.ui.guard.hosts import is_loopback, is_public
from quantlab.ui.visitors.leaving import FROM, NAME

__all__ = ["Forwarded", "has_proxy"]

log = logging.getLogger(__name__)


def has_proxy(environment: Mapping[str, str], *, said: bool = False) -> bool:
    """Whether a proxy stands before the page: as its operator ``said``, on a Space, and where
    ``GRADIO_ROOT_PATH`` is a proxy's whole address."""
    root = urlsplit(environment.get("GRADIO_ROOT_PATH", ""))
    return bool(said or environment.get("SPACE_ID") or root.hostname)


class Forwarded:
    """ASGI application around all others: takes the header off unless the page is ``proxied``.

    ``calls`` are the names of the agents' calls that this page now makes to itself, whose header it
    wrote; see leaving.py. Others that bear a name of that kind lose it.
    """

    def __init__(self, app: App, *, proxied: bool, calls: Container[str]) -> None:
        self._app, self._proxied, self._calls = app, proxied, calls
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "headers" in scope:
            scope["headers"] = self._believed(scope)
        await self._app(scope, receive, send)

    def _believed(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        if header(scope, NAME.encode()) in self._calls:
            return list(scope["headers"])
        forged = {NAME.encode()} if self._proxied else {NAME.encode(), FROM}
        kept = [pair for pair in scope["headers"] if pair[0] not in forged]
        if not self._proxied and not self._told and header(scope, FROM):
            self._tell(str((scope.get("client") or ("",))[0]))
        return kept

    def _tell(self, client: str) -> None:
        """Say once that a proxy may have been forgotten: who connects from afar is none."""
        if is_public(client):
            return
        self._told = True
        where = "this machine" if is_loopback(client) else client
        log.warning(
            "Requests from %s name another sender. If that is a proxy of yours, start the page "
            "with --proxy; without it, all who come through it count as one visitor.",
            where,
        )
