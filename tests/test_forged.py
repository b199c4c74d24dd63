"""Requests that no browser sends: each is answered at once, as its sender's fault, in a sentence.

They go over a plain socket or as JSON, to every route by which a handler is called.
"""

from __future__ import annotations

import gzip
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.served_page import Counting, served
from tests.test_connections import ends

DEEP = "[" * 200_000 + "]" * 200_000
ROUTES = (
    "gradio_api/queue/join",
    "gradio_api/run/predict",
    "gradio_api/api/predict",
    "gradio_api/call/recommend",
    "gradio_api/call/compare",
    "gradio_api/reset",
    "gradio_api/cancel",
    "gradio_api/component_server",
    "gradio_api/mcp/",
)
HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def counting() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def page(counting: Counting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(counting, tmp_path_factory.mktemp("forged")) as (url, _):
        yield url


@pytest.fixture(autouse=True)
def nothing_ran_and_the_page_is_there(page: str, counting: Counting) -> Iterator[None]:
    yield
    assert not counting.asked
    assert httpx.get(page, timeout=60).status_code == 200


def is_theirs(answer: httpx.Response) -> None:
    """Their fault, said briefly and without the insides of the page. Gradio says of some handlers
    that it went wrong in an answer that is itself fine."""
    assert 200 <= answer.status_code < 500, (answer.status_code, answer.text[:500])
    assert len(answer.content) < 20_000
    for inside in ("Traceback", "site-packages", "quantlab/ui"):
        assert inside not in answer.text


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        '{"data": ' + DEEP + "}",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"fn_index": 0, "data": [], "session_hash": "\\ud800"}',
        '{"fn_index": 0, "data": [NaN, Infinity, 1e999]}',
        '{"fn_index": 1' + "0" * 5000 + ', "data": []}',
        "",
        "null",
        '"\\u0000"',
        "\ufeff{}",
    ],
    ids=["lists", "data", "objects", "surrogate", "nan", "digits", "empty", "null", "nul", "bom"],
)
def test_json_that_no_page_writes(page: str, route: str, body: str) -> None:
    is_theirs(httpx.post(page + route, content=body.encode(), headers=HEADERS, timeout=60))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("encoding", ["gzip", "br", "identity"])
def test_a_body_that_is_compressed_is_not_unpacked(page: str, route: str, encoding: str) -> None:
    """A kilobyte could become a gigabyte."""
    body = gzip.compress(b" " * 2**24)
    headers = {**HEADERS, "content-encoding": encoding}
    is_theirs(httpx.post(page + route, content=body, headers=headers, timeout=60))


FORGED: dict[str, list[Any]] = {
    "fn_index": [-1, 10**9, 1.5, True, "0", None, [], {}],
    "data": [None, {}, "x", [[]] * 150, [{"__type__": "update", "value": 1}] * 40],
    "session_hash": ["a" * 100_000, 7, ["a"], {"a": 1}, "../../x", "\u202e\x00"],
    "trigger_id": [-1, "x", 10**30, []],
    "event_data": [[], "x", {"a": {"b": [{}] * 100}}, 7],
    "event_id": ["none", 7, None, ["a"]],
    "batched": [True, "x"],
    "request": [{}, "x"],
    "simple_format": [True, "x"],
    "component_id": [0, -1, "x", None],
    "fn_name": ["__init__", "__class__", 7, "preprocess"],
}


@pytest.mark.parametrize("part", FORGED)
def test_calls_with_a_forged_part(page: str, part: str) -> None:
    sound = {"fn_index": 0, "data": [], "session_hash": "forged", "event_id": "none"}
    sound |= {"component_id": 1, "fn_name": "x"}
    with httpx.Client(base_url=page, timeout=60, headers=HEADERS) as http:
        for route in ROUTES:
            for value in FORGED[part]:
                is_theirs(http.post(route, content=json.dumps({**sound, part: value})))


def told(page: str, request: bytes) -> bytes:
    """The answer to what is sent over a connection of its own."""
    where = urlsplit(page)
    with socket.create_connection((str(where.hostname), where.port or 80), timeout=60) as line:
        try:
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)
        except OSError:  # it was cut while it was sent
            pass
        return ends(line)


HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 2**20 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 100_000 + b"\r\n",
        b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\x00" * 70_000,
        b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n" + CLOSE + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n" + CLOSE + b"\r\n",
        b"GET /%ff%00%c0%ae%c0%ae HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n" + CLOSE + b"\r\n",
        b"POST /gradio_api/queue/join HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n{}",
        b"POST /gradio_api/queue/join HTTP/1.1\r\n" + HOST + b"Content-Length: 1e9\r\n\r\n{}",
        b"POST /gradio_api/queue/join HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"POST /gradio_api/queue/join HTTP/1.1\r\n" + HOST + b"Content-Length: 99\r\n\r\n{}",
        b"BREW / HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Accept-Encoding: \xff;q=\x80,,;;=\r\n" + CLOSE + b"\r\n",
        b"GET /?a=%ed%a0%80&%00 HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
        b"GET /config HTTP/1.1\r\n" + HOST + b"X-Forwarded-Host: " + b"a" * 9000 + b"\r\n\r\n",
    ],
    ids=lambda request: str(request[:20]),
)
def test_bytes_that_are_no_request(page: str, request_: bytes) -> None:
    answer = told(page, request_)
    assert not answer or answer.split(b" ", 2)[1][:1] in b"1234", answer[:300]
    for inside in (b"Traceback", b"site-packages", b"quantlab/ui"):
        assert inside not in answer[:2000]


def test_of_all_that_the_log_says_a_line(page: str, caplog: pytest.LogCaptureFixture) -> None:
    """No trace: nothing of it is a fault of the page."""
    with caplog.at_level(logging.WARNING):
        for route in ROUTES:
            body = '{"data": ' + DEEP + "}"
            httpx.post(page + route, content=body.encode(), headers=HEADERS, timeout=60)
    assert not [record for record in caplog.records if record.exc_info]
