"""What comes from the network is held to its limits before anything reads it."""

from __future__ import annotations

import http.client
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from quantlab.errors import InputError
from quantlab.lab.check.code.text import LONGEST as CODE_LONGEST
from quantlab.ui.guard.bodies import CODE, MAX_BODY_BYTES
from quantlab.ui.guard.hosts import allowed_names, check_listening
from quantlab.ui.guard.logs import MAX_CHARACTERS, PER_MINUTE, Brief, keep_brief
from quantlab.ui.guard.values import MAX_ITEMS, MAX_TEXT, check_value
from tests.served_page import Counting, served

JOIN = "gradio_api/queue/join"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(Counting(), tmp_path_factory.mktemp("guard")) as (url, _):
        yield url


def post(page: str, path: str, **more: object) -> httpx.Response:
    return httpx.post(page + path, timeout=60, **more)  # type: ignore[arg-type]


def test_another_name_for_this_machine_is_refused(page: str) -> None:
    """DNS rebinding: a foreign site's name that points at 127.0.0.1."""
    for path in ("", "config", "gradio_api/mcp/"):
        assert httpx.get(page + path, headers={"host": "evil.example"}).status_code == 421
    port = urlsplit(page).port
    for name in ("localhost", "127.0.0.1", "[::1]"):
        assert httpx.get(page, headers={"host": f"{name}:{port}"}).status_code == 200


@pytest.mark.parametrize("path", [JOIN, "gradio_api/call/recommend", "gradio_api/mcp/"])
def test_another_sites_requests_are_refused(page: str, path: str) -> None:
    refused = post(page, path, json={}, headers={"origin": "https://evil.example"})
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "This page takes requests from its own pages only.",
    )
    for origin in ("null", page.rstrip("/")):  # a sandboxed frame, and the page itself
        assert post(page, path, json={}, headers={"origin": origin}).status_code != 403


def test_a_large_body_is_refused_before_it_is_read(page: str) -> None:
    """Only its head is sent: whoever waited for the rest would never answer."""
    where = urlsplit(page)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)
    connection.putrequest("POST", f"/{JOIN}")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(60 * 2**20))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert "500 KiB at most" in answer.read().decode()
    connection.close()


def test_a_large_body_of_unsaid_length_is_cut(page: str) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * (MAX_BODY_BYTES // 32)

    assert post(page, "gradio_api/call/recommend", content=pieces()).status_code == 413


def test_nothing_can_be_uploaded(page: str) -> None:
    files = {"files": ("a.txt", b"x" * 10)}
    for path in ("upload", "gradio_api/upload", "gradio_api/upload/"):
        assert post(page, path, files=files).status_code == 404


def event_of(page: str, label: str, value: object) -> tuple[int, list[object]]:
    """The event that hears of the control ``label``: ``value`` for that, and an honest one for each
    other input."""
    config = httpx.get(page + "config", timeout=60).json()
    parts = {part["id"]: part for part in config["components"]}
    wanted = next(i for i, part in parts.items() if part["props"].get("label") == label)
    event = next(d for d in config["dependencies"] if wanted in d["inputs"])
    values = [parts[i]["props"].get("value") for i in event["inputs"]]
    values[event["inputs"].index(wanted)] = value
    return event["id"], values


LONG = "word " * 120_000


@pytest.mark.parametrize("path", [JOIN, "gradio_api/run/predict", "gradio_api/call/recommend"])
def test_a_long_search_text_is_refused_by_its_length(page: str, path: str) -> None:
    """Before it is read, and where no body can be that long though nothing says how long it is."""
    fn_index, values = event_of(page, "Search", LONG)
    body = json.dumps({"data": values, "fn_index": fn_index, "session_hash": "abc"}).encode()
    assert post(page, path, content=body).status_code == 413
    assert post(page, path, content=iter([body])).status_code == 413


def test_the_longest_code_that_is_checked_comes_through(page: str) -> None:
    """With as many line ends and quotation marks as a script has, and more."""
    code = "x = '\n'\n" * (CODE_LONGEST // 9)
    body = json.dumps({"data": [code, None]}).encode()
    assert MAX_BODY_BYTES < len(body) < CODE["/gradio_api/call/check"]
    kind = {"content-type": "application/json"}
    asked = post(page, "gradio_api/call/check", content=body, headers=kind)
    assert asked.status_code == 200
    told = httpx.get(f"{page}gradio_api/call/check/{asked.json()['event_id']}", timeout=60).text
    assert "event: complete" in told


def test_a_text_that_is_longer_than_its_control_takes_is_refused(page: str) -> None:
    fn_index, values = event_of(page, "Search", "word " * 10_000)
    body = {"data": values, "fn_index": fn_index, "session_hash": "abc"}
    assert post(page, JOIN, json=body).status_code == 200
    with httpx.stream(
        "GET", f"{page}gradio_api/queue/data", params={"session_hash": "abc"}, timeout=60
    ) as events:
        told = next(line for line in events.iter_lines() if "process_completed" in line)
    assert "search: 50000 characters; at most 200 are allowed" in told


def test_what_is_no_handler_is_the_senders_fault(page: str) -> None:
    body = {"data": [], "fn_index": 99_999, "session_hash": "abc"}
    assert 400 <= post(page, JOIN, json=body).status_code < 500
    assert 400 <= post(page, "gradio_api/call/nothing", json={"data": []}).status_code < 500


@pytest.mark.parametrize("path", ["call/predict/nope", "queue/data?session_hash=nope"])
def test_a_stream_that_nobody_began_ends(
    page: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = httpx.get(f"{page}gradio_api/{path}")  # raises where the answer is cut short
    assert answer.status_code == 200
    assert "404" in answer.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_values_have_limits() -> None:
    check_value({"a": ["x" * MAX_TEXT] * MAX_ITEMS})
    nested: object = "x"
    for _ in range(9):
        nested = [nested]
    for value in ("x" * (MAX_TEXT + 1), ["x"] * (MAX_ITEMS + 1), nested, {"y" * 5000: 1}):
        with pytest.raises(InputError, match="prompt"):
            check_value(value, name="prompt")


def test_who_is_answered_depends_on_where_the_page_listens() -> None:
    assert allowed_names({"SPACE_ID": "a/b"}) is None
    assert allowed_names({"GRADIO_SERVER_NAME": "0.0.0.0"}) is None
    proxy = allowed_names({"GRADIO_ROOT_PATH": "https://lab.example/q"}, ["Lab.local"])
    assert proxy is not None
    assert {"lab.example", "lab.local", "localhost"} <= proxy


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GRADIO_SERVER_PORT", "x"),
        ("GRADIO_SERVER_PORT", "-1"),
        ("GRADIO_SERVER_PORT", "0"),
        ("GRADIO_SERVER_PORT", "99999"),
        ("GRADIO_SERVER_PORT", "1" * 5000),
        ("GRADIO_SERVER_NAME", "192.0.2.1"),
        ("GRADIO_SERVER_NAME", "no such host"),
        ("GRADIO_SERVER_NAME", "a" * 300),
    ],
)
def test_an_address_that_is_none_is_named_before_the_page_starts(variable: str, value: str) -> None:
    with pytest.raises(InputError, match=variable):
        check_listening({variable: value})


def test_addresses_of_this_machine_are_taken() -> None:
    for name in ("", "0.0.0.0", "127.0.0.1", "localhost"):
        check_listening({"GRADIO_SERVER_NAME": name, "GRADIO_SERVER_PORT": "65535"})
    check_listening({})


def test_the_log_stays_short(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    logger, handler = logging.getLogger("quantlab.test_guard"), Kept()
    handler.addFilter(Brief())
    logger.addHandler(handler)
    logger.propagate = False
    for _ in range(1000):
        logger.warning("refused %s", LONG)
    assert len(lines) == PER_MINUTE
    assert max(map(len, lines)) < MAX_CHARACTERS + 120
    try:
        raise ValueError(LONG)
    except ValueError:
        logger.exception("failed")
    assert "ValueError: word word" in lines[-1]
    assert len(lines[-1]) < 3 * MAX_CHARACTERS
    assert not caplog.records


def test_a_flood_of_refused_connections_leaves_a_short_log() -> None:
    """asyncio logs each; a place in the code is heard of twenty times a minute."""
    brief = Brief()
    record = logging.LogRecord("asyncio", logging.ERROR, "x.py", 1, "no more files", None, None)
    assert sum(brief.filter(record) for _ in range(50_000)) == PER_MINUTE


def test_the_page_works_from_the_folder_it_is_served(page: str, tmp_path: Path) -> None:
    """The guards are transparent: a program asks as before."""
    from gradio_client import Client

    client = Client(page, download_files=str(tmp_path), verbose=False)
    rows = client.predict(model="flux-mini", hardware="cpu", api_name="/recommend")
    assert rows


def test_a_line_counts_once_in_each_log() -> None:
    logger = logging.getLogger("quantlab")
    first, second = logging.StreamHandler(io.StringIO()), logging.StreamHandler(io.StringIO())
    logger.handlers += [first, second]
    try:
        keep_brief()
        keep_brief()
        for number in range(PER_MINUTE + 5):
            logger.warning("line %d", number)
    finally:
        logger.handlers = [each for each in logger.handlers if each not in (first, second)]
    for handler in (first, second):
        assert len(handler.stream.getvalue().splitlines()) == PER_MINUTE
