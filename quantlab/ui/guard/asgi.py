"""The few words of ASGI that the guards share, and how a request is refused."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = [
    "App",
    "Message",
    "Receive",
    "Refused",
    "Scope",
    "Send",
    "header",
    "refuse",
    "replayed",
    "whole",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refused(Exception):
    """The rest of a request is not taken; whoever raises it answers it."""


def header(scope: Scope, name: bytes) -> str:
    """The first header called ``name`` (lower case), or "" where there is none."""
    found = next((value for key, value in scope["headers"] if key == name), b"")
    return bytes(found).decode("latin-1")


async def whole(receive: Receive) -> list[Message]:
    """The messages of a request's body up to its end, or until its sender left."""
    found = [await receive()]
    while found[-1].get("more_body", False):
        found.append(await receive())
    return found


def replayed(messages: list[Message], receive: Receive) -> Receive:
    """``receive`` for whoever comes next: first what was taken already."""
    left = list(messages)

    async def again() -> Message:
        return left.pop(0) if left else await receive()

    return again


async def refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    """Answer with ``status`` and one sentence as JSON, and close the connection.

    A browser in the middle of sending would never read an answer on a connection that stays open.
    """
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    body = json.dumps({"detail": text}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
