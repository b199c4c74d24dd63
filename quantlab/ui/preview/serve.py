"""The page's head with the tags that other sites read, and the picture that those name.

Gradio's own tags speak of Gradio and name a picture on another host; they are replaced in the page
that is sent. The address is the Space's, or the one that was asked.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import OrderedDict
from html import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quantlab.record.link import MAX_QUERY_BYTES
from quantlab.ui.guard.asgi import App, Message, Receive, Scope, Send, header
from quantlab.ui.kept.front import HEAD
from quantlab.ui.preview.told import Told, picture, told
from quantlab.ui.services import Services

__all__ = ["Previews", "Tagged", "route"]

PATH = "/preview.png"
KEEP = "public, max-age=3600"
KEPT = 32
"""Pictures that are kept, about 300 KB each; those nobody asked for longest go first."""
FRESH_S = 600
"""Then a picture is drawn anew: there may be results that were not there."""
_GRADIOS = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>')
_CONFIG = b"<script>window.gradio_config"
"""Where the head's tags end and a megabyte of description begins."""


class Previews:
    """Middleware: says which tags the page has at the address that is asked; see ``Tagged``."""

    def __init__(self, app: App, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_page(scope):
            await self._app(scope, receive, send)
            return
        query = scope.get("query_string", b"").decode("latin-1")
        about = Told()
        if query and len(query) <= MAX_QUERY_BYTES:
            about = await asyncio.to_thread(told, query, self._services)
        tags = _tags(about, base_of(scope), query if about.own else "")
        await self._app({**scope, HEAD: tags}, receive, send)


class Tagged:
    """Middleware: writes the tags that ``Previews`` chose into the page as Gradio made it. Between
    the two stands what keeps pages (kept/front.py), one for each text of tags."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tags = scope.get(HEAD)
        if tags is None:
            await self._app(scope, receive, send)
            return
        began: Message = {}
        body = bytearray()

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                began.update(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            sent = with_tags(bytes(body), str(tags))
            kept = [pair for pair in began["headers"] if pair[0].lower() != b"content-length"]
            began["headers"] = [*kept, (b"content-length", str(len(sent)).encode())]
            await send(began)
            await send({"type": "http.response.body", "body": sent})

        await self._app(scope, receive, tagged)


def _is_page(scope: Scope) -> bool:
    kind, path = str(scope["type"]), str(scope.get("path"))
    return kind == "http" and path == "/" and str(scope["method"]) == "GET"


def base_of(scope: Scope) -> str:
    """Where the page is: the Space's own host, else the address that was asked."""
    if host := os.environ.get("SPACE_HOST"):
        return f"https://{host}/"
    said = header(scope, b"x-forwarded-proto").partition(",")[0].strip()
    scheme = said if said in ("http", "https") else str(scope.get("scheme", "http"))
    root = str(scope.get("root_path", "")).strip("/")
    return f"{scheme}://{header(scope, b'host')}/{root + '/' if root else ''}"


def with_tags(page: bytes, tags: str) -> bytes:
    """``page`` with ``tags`` in its head instead of those of Gradio's."""
    end = page.find(_CONFIG)
    head, rest = (page[:end], page[end:]) if end >= 0 else (page, b"")
    head = _GRADIOS.sub(b"", head)
    start, opening, after = head.partition(b"<head>")
    if not opening:
        return page  # not the page
    return start + opening + tags.encode() + after + rest


def _tags(about: Told, base: str, query: str) -> str:
    asked = f"?{query}" if query else ""
    values = {
        "title": about.title,
        "description": about.about,
        "image": f"{base.rstrip('/')}{PATH}{asked}",
    }
    open_graph = {"type": "website", "site_name": "quantlab", "url": f"{base}{asked}", **values}
    lines = [f"<title>{escape(about.title)}</title>"]
    lines.append(f'<meta name="description" content="{escape(about.about)}" />')
    lines += [f'<meta property="og:{k}" content="{escape(v)}" />' for k, v in open_graph.items()]
    twitter = {"card": "summary_large_image", **values}
    lines += [f'<meta name="twitter:{k}" content="{escape(v)}" />' for k, v in twitter.items()]
    return "".join(lines)


def route(services: Services) -> Route:
    """``GET /preview.png?...``: the picture of the page that is opened with the same query."""
    kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    async def answer(request: Request) -> Response:
        query = request.url.query if len(request.url.query) <= MAX_QUERY_BYTES else ""
        key = (query, int(time.monotonic() / FRESH_S))
        if key not in kept:
            kept[key] = await asyncio.to_thread(picture, query, services)
            while len(kept) > KEPT:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return Response(kept[key], media_type="image/png", headers={"cache-control": KEEP})

    return Route(PATH, answer, methods=["GET"])
