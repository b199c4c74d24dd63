"""The page as it is first sent, and the scripts that it loads: made once, not for every visitor.

Gradio writes the page anew for each request, a megabyte of it, and sends it as it is; its scripts
it compresses anew each time. The page depends on nothing but the address it was asked under, which
its addresses begin with: what is a visitor's own comes by events, later. And anybody may write any
host's name into that address, so the page is made for none, and gets the one that was asked.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from urllib.parse import parse_qs

import httpx
from gradio.route_utils import get_root_url
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from quantlab.ui.guard.asgi import App, Message, Receive, Scope, Send, refuse
from quantlab.ui.kept.packed import Packed, pack, respond

__all__ = ["HEAD", "NOBODY", "Kept", "Made"]

HEAD = "quantlab.head"
"""Where a request's scope holds what its page has in its head beside what all have: for each text
a page of its own is kept."""

PAGES = ("/", "/config", "/config/")
FILES = ("/assets/", "/static/", "/theme.css")
NAMED_BY_CONTENT = "/assets/"
ENDINGS = (".js", ".css", ".json", ".svg")
"""What is worth compressing. Pictures and fonts go as they are."""
ADDRESS = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")
"""Headers that say what the page's address is."""
OTHER = ("deep_link", "page")
"""Parts of a query that ask Gradio for another page."""
MOST_BYTES = 16 * 2**20
MOST_ADDRESS = 300
NOBODY = "page.invalid"
"""The host that the page is made for: a name that no host has (RFC 2606)."""
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


class Kept:
    """Middleware: what is asked again is sent from memory, in the form that the browser takes."""

    def __init__(self, app: App, most_bytes: int = MOST_BYTES) -> None:
        self._app, self._most = app, most_bytes
        self._kept: OrderedDict[tuple[str, ...], Packed] = OrderedDict()
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        found: Packed | Response | None = self._kept.get(key)
        if found is None:  # what is here waits for nobody
            async with self._making:  # many who come at once get one answer
                found = self._kept.get(key) or await self._make(key, scope, receive)
        if key in self._kept:
            self._kept.move_to_end(key)
        if isinstance(found, Packed):
            keep = FOR_EVER if key[0].startswith(NAMED_BY_CONTENT) else ASK_AGAIN
            found = await respond(found, Headers(scope=scope), keep)
        await found(scope, receive, send)

    async def _make(
        self, key: tuple[str, ...], scope: Scope, receive: Receive
    ) -> Packed | Response:
        """What the page answers: kept from now on where that is worth it, else as it came."""
        status, headers, body = await _asked(self._app, scope, receive)
        if status != 200:
            return _as_it_came(status, headers, body)
        self._kept[key] = await pack(body, headers["content-type"], Headers(scope=scope))
        while len(self._kept) > 1 and sum(each.size for each in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
        return self._kept[key]


class Made:
    """Middleware: Gradio's page is made once, whatever tags its head then gets and whatever address
    it was asked under.

    It takes 60 ms of a core to make, and who asks for one link after the other has a page each.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._made: dict[tuple[str, str], tuple[Headers, bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path"))
        if path not in PAGES or not _can_be_kept(scope):
            await self._app(scope, receive, send)
            return
        nobodys = _of_nobody(scope)
        try:
            root, made_for = _root(scope), _root(nobodys)
        except httpx.InvalidURL:
            await refuse(scope, receive, send, 400, "This is no host's name.")
            return
        key = path, str(scope.get("root_path", ""))
        if key not in self._made:
            status, headers, body = await _asked(self._app, nobodys, receive)
            if status != 200:
                await _as_it_came(status, headers, body)(scope, receive, send)
                return
            self._made[key] = headers, body
        headers, body = self._made[key]
        body = body.replace(made_for.encode(), _written(root))
        await Response(body, media_type=headers["content-type"])(scope, receive, send)


def _of_nobody(scope: Scope) -> Scope:
    """The same request to an address that is nobody's."""
    said = [pair for pair in scope["headers"] if pair[0].decode("latin-1") not in ADDRESS]
    return {**scope, "scheme": "http", "headers": [*said, (b"host", NOBODY.encode())]}


def _root(scope: Scope) -> str:
    """What the page's addresses begin with, as Gradio has it.

    Raises:
        httpx.InvalidURL: it was asked under none that can be.
    """
    route = "" if scope["path"] == "/" else "/config"
    return str(get_root_url(Request(scope), route, scope.get("root_path")))


def _written(root: str) -> bytes:
    """An address as a text of JSON that stands in a script of a page."""
    text = json.dumps(root)[1:-1]
    for sign in "<>&'":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode()


def _as_it_came(status: int, headers: Headers, body: bytes) -> Response:
    answer = Response(body, status)
    answer.raw_headers = list(headers.raw)
    return answer


def _can_be_kept(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    asked = parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1"))
    return not any(name in asked for name in OTHER)


def _key(scope: Scope) -> tuple[str, ...] | None:
    """What an answer that can be kept depends on; None where it cannot."""
    if not _can_be_kept(scope):
        return None
    path, headers = str(scope["path"]), Headers(scope=scope)
    if path.startswith(FILES):
        return (path,) if path.endswith(ENDINGS) and "range" not in headers else None
    if path not in PAGES:
        return None
    address = [headers.get(name, "") for name in ADDRESS]
    if sum(map(len, address)) > MOST_ADDRESS:
        return None
    root, head = str(scope.get("root_path", "")), str(scope.get(HEAD, ""))
    return (path, str(scope.get("scheme")), root, head, *address)


async def _asked(app: App, scope: Scope, receive: Receive) -> tuple[int, Headers, bytes]:
    """What ``app`` answers: its status, headers and whole body."""
    begun: Message = {}
    parts: list[bytes] = []

    async def take(message: Message) -> None:
        if message["type"] == "http.response.start":
            begun.update(message)
        else:
            parts.append(bytes(message.get("body", b"")))

    plain = {"if-none-match", "if-modified-since", "accept-encoding"}
    asked = [pair for pair in scope["headers"] if pair[0].decode("latin-1") not in plain]
    await app({**scope, "headers": asked}, receive, take)
    return begun["status"], Headers(raw=begun["headers"]), b"".join(parts)
