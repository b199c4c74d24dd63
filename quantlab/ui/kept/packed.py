"""Bytes that are sent to many: compressed once in each form that is asked for.

Browsers take Brotli where the line is safe or this machine's own, gzip everywhere.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import brotli
from starlette.responses import Response

__all__ = ["Packed", "pack", "respond"]

QUALITY = 7
"""Of Brotli, which is as fast as gzip up to here and a quarter smaller."""
FORMS: Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "br": (lambda body: brotli.compress(body, quality=QUALITY), brotli.decompress),
    "gzip": (lambda body: gzip.compress(body, 6), gzip.decompress),
}
"""How to get into each form and out of it, the best first."""


@dataclass(frozen=True)
class Packed:
    """A body in the forms in which it was asked for, and the tag by which browsers know it."""

    media_type: str
    tag: str
    forms: dict[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        return sum(map(len, self.forms.values()))

    def plain(self) -> bytes:
        """The body."""
        name, found = next(iter(self.forms.items()))
        return FORMS[name][1](found)

    def form(self, name: str) -> bytes:
        """The body compressed as ``name`` says; made where nobody has asked for it yet."""
        if name not in self.forms:
            self.forms[name] = FORMS[name][0](self.plain())
        return self.forms[name]


async def pack(body: bytes, media_type: str, headers: Mapping[str, str]) -> Packed:
    """``body`` in the form that a request with ``headers`` takes (names in lower case)."""
    name = _taken(headers) or "gzip"
    found = await asyncio.to_thread(FORMS[name][0], body)
    return Packed(media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"', {name: found})


async def respond(packed: Packed, headers: Mapping[str, str], keep: str) -> Response:
    """The answer to a request with ``headers``; ``keep`` is what a browser is told of how long it
    may keep it. 304 without a body where it has it already."""
    told = {"cache-control": keep, "etag": packed.tag, "vary": "Accept-Encoding"}
    if packed.tag in (tag.strip() for tag in headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=told)
    name = _taken(headers)
    if name is None:
        body = await asyncio.to_thread(packed.plain)
    else:
        told["content-encoding"] = name
        made = packed.forms.get(name)
        body = await asyncio.to_thread(packed.form, name) if made is None else made
    return Response(body, media_type=packed.media_type, headers=told)


def _taken(headers: Mapping[str, str]) -> str | None:
    """The best form that a browser says it takes: ``gzip, br;q=0`` is gzip."""
    found = set()
    for each in headers.get("accept-encoding", "").split(","):
        name, _, weight = each.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            found.add(name.strip().lower())
    return next((name for name in FORMS if name in found), None)
