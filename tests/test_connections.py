"""Connections that say nothing make room for those that ask, and end after a while."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from quantlab.ui.visitors.connections import connecting
from quantlab.ui.visitors.limits import Limits, room
from tests.ports import free_port

LIMIT_S = 30
MOST = 6
BRIEFLY = Limits(connections=MOST, head_s=0.4)
LONG = Limits(connections=MOST, head_s=600)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once; below /stream only when the asker has left, below /slow after a second."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"...", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
    await send({"type": "http.response.body", "body": b"here"})


@contextmanager
def listening(limits: Limits) -> Iterator[tuple[str, int]]:
    port = free_port()
    config = uvicorn.Config(
        app, port=port, lifespan="off", log_level="critical", timeout_keep_alive=600
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    config.http_protocol_class = connecting(limits)  # type: ignore[assignment]  # as serve.py does
    try:
        yield "127.0.0.1", port
    finally:
        server.force_exit = server.should_exit = True
        thread.join()


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def ends(connection: socket.socket) -> bytes:
    """What still comes over it, once the server has ended it."""
    connection.settimeout(LIMIT_S)
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def is_open(connection: socket.socket, for_s: float) -> bool:
    """Whether the server has not ended it ``for_s`` after the last that came."""
    connection.settimeout(for_s)
    try:
        while connection.recv(1000):
            pass
    except TimeoutError:
        return True
    return False


def is_cut(connection: socket.socket) -> bool:
    """Whether a further byte cannot be sent; a moment passes."""
    time.sleep(0.05)
    try:
        connection.sendall(b"a")
    except OSError:
        return True
    return False


def answers(where: tuple[str, int]) -> bool:
    try:
        answer = httpx.get(f"http://{where[0]}:{where[1]}/", timeout=LIMIT_S)
    except httpx.TransportError:
        return False
    return answer.text == "here"


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"G"])
def test_a_head_that_is_never_whole_ends_the_connection(said: bytes) -> None:
    with listening(BRIEFLY) as where, socket.create_connection(where) as connection:
        connection.sendall(said)
        assert ends(connection) == b""


def test_nor_is_it_kept_by_a_byte_now_and_then() -> None:
    """Slow loris; on a connection that has had an answer too."""
    with listening(BRIEFLY) as where, socket.create_connection(where) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /")
        assert any(is_cut(connection) for _ in range(LIMIT_S * 20))


def test_a_request_that_takes_longer_is_answered() -> None:
    with listening(BRIEFLY) as where, socket.create_connection(where) as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert is_open(connection, 3 * BRIEFLY.head_s)


def test_silent_connections_make_room_for_those_that_ask() -> None:
    with listening(LONG) as where, ExitStack() as kept:
        silent = [kept.enter_context(socket.create_connection(where)) for _ in range(3 * MOST)]
        assert answers(where)
        assert ends(silent[0]) == b""
        assert answers(where)


def test_whoever_has_most_of_them_makes_room_first() -> None:
    """A browser keeps its connection between two requests, however many another one opens."""
    with listening(LONG) as where, ExitStack() as kept:
        mine = kept.enter_context(socket.create_connection(where))
        for _ in range(3 * MOST):
            other = socket.create_connection(where, source_address=("127.0.0.2", 0))
            kept.enter_context(other)
        mine.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"here" in ends(mine)


def test_where_all_are_answered_the_next_is_cut_and_nobody_else() -> None:
    with listening(LONG) as where, ExitStack() as kept:
        streams = []
        for _ in range(MOST):
            stream = kept.enter_context(socket.create_connection(where))
            stream.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
            assert stream.recv(1000)
            streams.append(stream)
        assert not answers(where)
        streams.pop().close()
        until(lambda: answers(where))
        assert all(is_open(stream, 0.05) for stream in streams)


def test_there_is_room_for_half_of_the_files_that_may_be_open() -> None:
    assert room(1024) == 512
    assert room(64) == 32
    assert room(10**6) == 1000
    assert room() >= 16
    assert Limits(connections=512).at_once == 128
