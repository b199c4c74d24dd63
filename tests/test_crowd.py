"""What one visitor may take of a page at once, and what a page keeps of those who came and went."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import httpx
import psutil
import pytest
from gradio.state_holder import StateHolder

from quantlab.ui.guard.hosts import address
from quantlab.ui.visitors.forwarded import Forwarded, has_proxy
from quantlab.ui.visitors.leaving import Leaving, call_of
from quantlab.ui.visitors.limits import Limits
from quantlab.ui.visitors.tabs import Sessions, Tabs, Watched
from quantlab.ui.visitors.unread import Unread
from tests.drawn import awaited
from tests.served_page import Counting, served
from tests.test_connections import ends, until
from tests.test_jobs import REST

LIMITS = Limits(connections=64, head_s=1.0, body_s=1.0, sessions=20, unread=5)
MIB = 2**20


@pytest.fixture(scope="module")
def runner() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def page(runner: Counting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(runner, tmp_path_factory.mktemp("crowd"), LIMITS) as (url, _):
        yield url


def connected(page: str, source: str = "127.0.0.1") -> socket.socket:
    where = urlsplit(page)
    return socket.create_connection(
        (str(where.hostname), where.port or 80), timeout=60, source_address=(source, 0)
    )


def said(page: str, path: str, *more: str, method: str = "GET") -> bytes:
    port = urlsplit(page).port
    lines = (f"{method} /{path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *more, "", "")
    return "\r\n".join(lines).encode()


def test_a_head_is_not_waited_for_without_end(page: str) -> None:
    with connected(page) as connection:
        connection.sendall(said(page, "")[:-2])
        assert ends(connection) == b""


def test_nor_is_a_body(page: str) -> None:
    """Half of one is answered as such, and the connection closed."""
    for path in ("gradio_api/queue/join", "gradio_api/call/recommend", "gradio_api/run/predict"):
        with connected(page) as connection:
            head = ("Content-Type: application/json", "Content-Length: 500")
            connection.sendall(said(page, path, *head, method="POST") + b'{"data": [')
            answer = ends(connection)
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b"did not come in time" in answer


def test_one_visitor_cannot_take_all_streams(page: str) -> None:
    """Nor can one who writes that each of them comes from somebody else."""
    with ExitStack() as kept:
        for number in range(LIMITS.at_once):
            stream = kept.enter_context(connected(page))
            forged = f"X-Forwarded-For: 8.8.8.{number}"
            stream.sendall(said(page, f"gradio_api/heartbeat/visitor-{number}", forged))
            assert stream.recv(100).startswith(b"HTTP/1.1 200")
        refused = httpx.get(page, timeout=60, headers={"x-forwarded-for": "8.8.4.4"})
        assert refused.status_code == 429
        assert "close a few tabs" in refused.json()["detail"]
        other = kept.enter_context(connected(page, "127.0.0.2"))
        other.sendall(said(page, "", "Connection: close"))
        assert ends(other).startswith(b"HTTP/1.1 200")
    until(lambda: httpx.get(page, timeout=60).status_code == 200)


def test_a_visitor_who_comes_directly_writes_no_other_address() -> None:
    """What a proxy adds counts only where a proxy connected."""
    forged = {"x-forwarded-for": "1.1.1.1"}
    assert address(forged, "8.8.8.8") == "8.8.8.8"
    assert address(forged, "10.0.0.9") == "1.1.1.1"
    assert address({}, "2606:4700::1:2") == address({}, "2606:4700::9:8") == "2606:4700::/64"


@pytest.mark.parametrize(
    ("client", "found"), [("8.8.8.8", "8.8.8.8"), ("10.0.0.9", "1.1.1.1"), ("127.0.0.1", "1.1.1.1")]
)
def test_an_agent_is_where_it_is_whatever_it_says(client: str, found: str) -> None:
    """A tool's call is made again from this machine, which is believed like a proxy."""
    seen: list[dict[str, str]] = []

    async def app(scope: Any, receive: Any, _: Any) -> None:
        await receive()
        seen.append({key.decode(): value.decode() for key, value in scope["headers"]})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(_: Any) -> None: ...

    forged = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-quantlab-call", b"another's")]
    scope = {"type": "http", "method": "POST", "path": "/gradio_api/mcp/", "headers": forged}
    left: list[str] = []
    calls: set[str] = set()
    awaited(Leaving(app, left.append, calls)({**scope, "client": (client, 1)}, receive, send))
    assert address(seen[0], "127.0.0.1") == found
    assert call_of(seen[0]) not in (None, "another's")
    assert (left, calls) == ([], set())


@pytest.mark.parametrize(
    ("environment", "said", "found"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"SPACE_ID": "someone/page"}, False, True),
        ({"GRADIO_ROOT_PATH": "https://example.org/quantlab"}, False, True),
        ({"GRADIO_ROOT_PATH": "/quantlab"}, False, False),
    ],
)
def test_a_proxy_is_what_the_operator_says_is_one(
    environment: dict[str, str], said: bool, found: bool
) -> None:
    assert has_proxy(environment, said=said) is found


def test_where_no_proxy_stands_nobody_says_where_others_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """But the page itself, of an agent whose call it makes again."""
    seen: list[dict[str, str]] = []

    async def app(scope: Any, *_: Any) -> None:
        seen.append({key.decode(): value.decode() for key, value in scope["headers"]})

    def comes(proxied: bool, client: str, name: str) -> dict[str, str]:
        headers = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-quantlab-call", name.encode())]
        scope = {"type": "http", "headers": headers, "client": (client, 1)}
        door = Forwarded(app, proxied=proxied, calls={"its own"})
        awaited(door(scope, None, None))  # type: ignore[arg-type]
        return seen[-1]

    assert comes(False, "192.168.0.7", "forged") == {}
    assert "Requests from 192.168.0.7 name another sender" in caplog.text
    assert "--proxy" in caplog.text
    assert comes(True, "192.168.0.7", "forged") == {"x-forwarded-for": "1.1.1.1"}
    assert address(comes(False, "127.0.0.1", "its own"), "127.0.0.1") == "1.1.1.1"
    caplog.clear()
    assert comes(False, "8.8.8.8", "forged") == {}
    assert caplog.text == ""  # whoever comes from afar is no proxy


def call(http: httpx.Client, name: str, *values: object) -> str:
    """Call a function of the API and do not listen; gives the address of its answer."""
    answer = http.post(f"gradio_api/call/{name}", json={"data": values})
    return f"gradio_api/call/{name}/{answer.json()['event_id']}"


def test_who_listens_is_heard_whoever_else_calls_and_leaves(page: str, runner: Counting) -> None:
    """Many calls that nobody listens to took the streams of those who did."""
    runner.free.clear()
    with httpx.Client(base_url=page, timeout=60) as http:
        mine = call(http, "compare", ["fp32"], "a fox", *REST)
        with http.stream("GET", mine) as lines:
            until(lambda: runner.asked)
            old = call(http, "recommend", "cpu")
            for _ in range(2 * LIMITS.sessions):
                call(http, "recommend", "cpu")
            runner.free.set()
            told = [line for line in lines.iter_lines() if line.startswith("event")]
        assert told[-1] == "event: complete"
        assert "event: complete" not in heard(http, old)


def heard(http: httpx.Client, address: str) -> list[str]:
    """The lines of an answer, as far as they come."""
    lines = []
    with contextlib.suppress(httpx.HTTPError), http.stream("GET", address) as answer:
        for line in answer.iter_lines():
            lines.append(line)
    return lines


def test_who_listened_longest_ago_goes_first() -> None:
    gone: list[str] = []
    kept = Unread(most=2, forgotten=gone.append)

    async def comes(*names: str) -> None:
        for name in names:
            kept[name] = asyncio.Queue()
            kept[name].put_nowait(name)
        await asyncio.sleep(0)

    async def story() -> None:
        await comes("listens")
        assert await kept["listens"].get() == "listens"
        listening = asyncio.ensure_future(kept["listens"].get())
        await asyncio.sleep(0)  # it waits from here on
        await comes("a", "b", "c")
        assert (list(kept), gone) == (["listens", "a", "b", "c"], [])
        await comes("d")
        assert (list(kept), gone) == (["listens", "b", "c", "d"], ["a"])
        kept["a"].put_nowait(1)  # is lost, and no fault
        assert "a" not in kept
        kept["listens"].put_nowait("still")
        assert await listening == "still"
        await comes("e")  # before whoever has just heard waits again
        assert (list(kept), gone) == (["d", "listens", "e"], ["a", "b", "c"])

    awaited(story())


def test_a_page_that_is_open_is_not_forgotten_for_visitors_who_never_were() -> None:
    tabs, holder = Tabs(), StateHolder()
    with gr.Blocks(analytics_enabled=False) as blocks:
        number = gr.State(0)
    blocks.state_session_capacity = 5
    holder.set_blocks(blocks)
    holder.session_data = Sessions(tabs)

    async def stream(*_: Any) -> None:
        holder["mine"][number._id] = 7
        for name in range(50):
            holder[f"made up {name}"][number._id] = name
        assert "mine" in holder

    scope = {"type": "http", "path": "/gradio_api/heartbeat/mine"}
    awaited(Watched(stream, tabs)(scope, None, None))  # type: ignore[arg-type]
    assert holder["mine"][number._id] == 7
    assert len(holder.session_data) == 5
    assert "made up 49" in holder
    for name in range(5):
        holder[f"new {name}"]
    assert "mine" not in holder  # its tab is closed


def sessions(page: str, first: int, count: int) -> None:
    """So many visitors who each open the page and are not heard of again."""
    with httpx.Client(base_url=page, timeout=60) as http:
        config = http.get("config").json()
        values = {each["id"]: each["props"].get("value") for each in config["components"]}
        event = next(each for each in config["dependencies"] if each["api_name"] == "restore")
        body: dict[str, Any] = {
            "fn_index": event["id"],
            "data": [values[number] for number in event["inputs"]],
        }
        for number in range(first, first + count):
            body["session_hash"] = f"session-{number}"
            answer = http.post("gradio_api/run/predict", json=body)
            assert answer.status_code == 200, answer.text


def test_memory_is_flat_however_many_visitors_come(page: str) -> None:
    """Each used to take 0.4 to 1 MB for as long as the page was served."""
    process = psutil.Process()
    sessions(page, 0, 100)
    gc.collect()
    before = process.memory_info().rss
    sessions(page, 100, 500)
    gc.collect()
    assert process.memory_info().rss - before < 500 * 0.4 * MIB / 10
