"""Which addresses a page answers to, so that no other site's script can reach a local one.

A page that listens on loopback alone is meant for the person at the machine. A foreign site could
still reach it through that person's browser: by pointing its own name at 127.0.0.1 (DNS
rebinding), or by sending requests from its pages. The first is seen in the Host header, the second
in Origin. A page that listens on other addresses is public, and answers to any name.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from quantlab.errors import InputError
from quantlab.ui.guard.asgi import App, Receive, Scope, Send, header, refuse
from quantlab.words.numbers import show

__all__ = [
    "Hosts",
    "address",
    "allowed_names",
    "check_listening",
    "is_loopback",
    "is_public",
    "visitor",
]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST_PORT = 65_535
SAFE = ("GET", "HEAD", "OPTIONS")


def is_loopback(server_name: str | None) -> bool:
    """Whether ``server_name``, as Gradio takes it, is reached from this machine alone."""
    name = (server_name or "127.0.0.1").strip("[]").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def check_listening(environment: Mapping[str, str]) -> None:
    """Hold what Gradio reads of the environment against what this machine can listen on, before
    Gradio is imported, which stumbles over it.

    Raises:
        InputError: the port is none, or the name is none of this machine's.
    """
    port = environment.get("GRADIO_SERVER_PORT", "").strip() or "7860"
    if not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= MOST_PORT):
        raise InputError("GRADIO_SERVER_PORT", f"{show(port)}; 1 to {MOST_PORT} are allowed")
    name = environment.get("GRADIO_SERVER_NAME", "").strip("[]") or LOOPBACK[1]
    try:
        places = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        places = []
    if not any(_is_here(family, place) for family, _, _, _, place in places):
        said = f"{show(name)} is no address of this machine; 0.0.0.0 is every one"
        raise InputError("GRADIO_SERVER_NAME", said)


def _is_here(family: int, place: Any) -> bool:
    """Whether this machine can listen there."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.bind(place)
    except OSError:
        return False
    return True


def allowed_names(
    environment: Mapping[str, str], more: Iterable[str] = ()
) -> frozenset[str] | None:
    """The names that the page answers to; None is any, for pages that are public.

    ``GRADIO_ROOT_PATH`` names the proxy before a page where it is a whole address, ``more`` are
    names that were given at the start.
    """
    public = environment.get("SPACE_ID") or not is_loopback(environment.get("GRADIO_SERVER_NAME"))
    if public:
        return None
    proxy = urlsplit(environment.get("GRADIO_ROOT_PATH", "")).hostname
    return frozenset(name.lower() for name in (*LOOPBACK, *more, proxy) if name)


def address(headers: Mapping[str, str], client: str | None) -> str | None:
    """Where a visitor is: the last public address that a proxy passed on, else the connection's.

    A visitor may write what they like into the header; proxies add to its end. Who connects from a
    public address is no proxy of this page. Of IPv6 the network counts: a household has one, and
    2**64 addresses in it.
    """
    if is_public(client or ""):
        return _household(client or "")
    for text in reversed(headers.get("x-forwarded-for", "").split(",")):
        if is_public(text.strip()):
            return _household(text.strip())
    return client


def visitor(scope: Scope) -> str:
    """Whom a request's limits are held against: where it comes from; "" where nobody knows."""
    forwarded = {"x-forwarded-for": header(scope, b"x-forwarded-for")}
    return address(forwarded, (scope.get("client") or ("",))[0]) or ""


def is_public(text: str) -> bool:
    """Whether ``text`` is an address that the whole net can reach."""
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _household(text: str) -> str:
    found = ipaddress.ip_address(text)
    if found.version == 4:
        return text
    return str(ipaddress.ip_network((found, 64), strict=False))


class Hosts:
    """Middleware: refuses what was sent to another name, or by another site's page.

    A page in a sandboxed frame has the Origin ``null``. It is answered: no cookie gives anybody
    more than the next visitor has.
    """

    def __init__(self, app: App, names: frozenset[str] | None) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (why := self._refused(scope)):
            await refuse(scope, receive, send, 421 if why == "host" else 403, _TEXTS[why])
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> str | None:
        if self._names is None:
            return None
        host = _name(f"//{header(scope, b'host')}")
        if host not in self._names:
            return "host"
        origin = header(scope, b"origin")
        if scope.get("method") in SAFE or origin in ("", "null"):
            return None
        return None if _name(origin) in self._names else "origin"


_TEXTS = {
    "host": "This page answers to the address that it was started with; see --host in --help.",
    "origin": "This page takes requests from its own pages only.",
}


def _name(address: str) -> str:
    """The host's name in an address, lower case; "" where it has none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # such as [::1 without its end
        return ""
