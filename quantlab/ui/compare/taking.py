"""The one way in for files: a picture to go by, POSTed as it is, answered with its digest.

Gradio's own upload stays closed: it takes any file and keeps it under its name. Here the body is
one picture within its limit (guard/bodies.py holds that), a visitor sends one at a time and one at
a time is unpacked, what a camera wrote beside the pixels is dropped (lab/references.py), and what
is kept stays under a limit too.
"""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from quantlab.errors import InputError, StoreError
from quantlab.lab.references import MOST_BYTES, keep_reference, keep_under
from quantlab.ui.visitors.turns import Turns, of_request

__all__ = ["CLOSED", "PATH", "Pictures"]

PATH = "/references"
KEPT_BYTES = 512 * 2**20
"""Of all pictures that are kept for visitors; beyond it the oldest go."""
SENDING = 16
"""Pictures that may be on their way at once."""
LONGEST_NAME = 80
CLOSED = "This page takes no pictures: it has no GPU of its own to go by them."


class Pictures:
    """The route, open or closed; ``limits`` is what the guard of bodies lets through to it."""

    def __init__(self, *, opened: bool) -> None:
        self._opened = opened
        self._sending, self._one = Turns(each=1, most=SENDING), asyncio.Lock()
        self.limits = {PATH: MOST_BYTES} if opened else {}

    def route(self) -> Route:
        """``POST /references``, the body a PNG, JPEG or WebP; its name is in ``x-name``."""
        return Route(PATH, self._take, methods=["POST"])

    async def _take(self, request: Request) -> JSONResponse:
        if not self._opened:
            return JSONResponse({"detail": CLOSED}, 403)
        name = unquote(request.headers.get("x-name", ""))[:LONGEST_NAME] or "the picture"
        async with self._sending.of(of_request(request)):
            content = await request.body()  # as slowly as whoever sends it likes
        async with self._one:
            try:
                digest = await asyncio.to_thread(_keep, content, name)
            except InputError as error:
                return JSONResponse({"detail": str(error).removeprefix(f"{error.part}: ")}, 400)
            except StoreError as error:
                return JSONResponse({"detail": str(error)}, 507)
        return JSONResponse({"digest": digest})


def _keep(content: bytes, name: str) -> str:
    digest = keep_reference(content, name)
    keep_under(KEPT_BYTES, digest)
    return digest
