"""Of Gradio's many addresses those that the page needs are there, and a session's name is short."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from quantlab.ui.guard.doors import MAX_SESSION
from tests.served_page import Counting, served


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(Counting(), tmp_path_factory.mktemp("doors")) as (url, _):
        yield url


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=https://example.org/",
        "gradio_api/file=HTTP://example.org/",
        "gradio_api/file=%20http://example.org/",
        "gradio_api/file/http://example.org/",
        "gradio_api/proxy=https://example.org/",
        "gradio_api/custom_component/a/client/b/c.js",
        "gradio_api/deep_link?session_hash=a",
        "gradio_api/dev/reload",
        "gradio_api/upload_progress?upload_id=a",
        "gradio_api/vibe-code",
        "gradio_api/stream/a/b/1/playlist.m3u8",
        "gradio_api/user",
        "gradio_api/token",
        "pwa_icon/99999",
        "monitoring",
        "monitoring/summary",
        "docs",
        "login",
        f"gradio_api/heartbeat/{'a' * (MAX_SESSION + 1)}",
    ],
)
def test_what_the_page_does_not_need_is_not_there(page: str, path: str) -> None:
    """One fetched any address of the net, another's log line was as long as its address."""
    answer = httpx.get(page + path, timeout=60)
    assert (answer.status_code, answer.json()) == (
        404,
        {"detail": "There is nothing at this address."},
    )


@pytest.mark.parametrize("path", ["process_recording", "vibe-edit", "stream/a", "login"])
def test_nor_is_what_takes_something(page: str, path: str) -> None:
    for where in (f"gradio_api/{path}", path):
        assert httpx.post(page + where, json={}, timeout=60).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "",
        "config",
        "theme.css",
        "gradio_api/info",
        "gradio_api/startup-events",
        "gradio_api/app_id",
        "gradio_api/queue/status",
        "gradio_api/mcp/schema",
        "preview.png",
    ],
)
def test_what_it_needs_is(page: str, path: str) -> None:
    assert httpx.get(page + path, timeout=60).status_code == 200


def test_a_sessions_name_is_no_place_for_a_megabyte(page: str) -> None:
    """Each is kept with what is the session's."""
    body = {"data": ["cpu"], "session_hash": "a" * (MAX_SESSION + 1)}
    for path in ("gradio_api/call/recommend", "gradio_api/queue/join", "gradio_api/run/predict"):
        answer = httpx.post(page + path, json=body, timeout=60)
        assert answer.status_code == 400
    body["session_hash"] = "a" * MAX_SESSION
    assert httpx.post(page + "gradio_api/call/recommend", json=body, timeout=60).status_code == 200


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data; boundary=x"])
def test_nor_where_the_body_says_that_it_is_something_else(page: str, kind: str) -> None:
    """Gradio reads some of them as JSON, and forms too."""
    name = "a" * (MAX_SESSION + 1)
    body = json.dumps({"data": [], "component_id": 1, "fn_name": "x", "session_hash": name})
    if "form" in kind:
        parts = {"component_id": "1", "fn_name": "x", "session_hash": name}
        lines = (
            f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'
            for k, v in parts.items()
        )
        body = "".join(lines) + "--x--\r\n"
    for path in ("component_server", "component_server/"):
        headers = {"content-type": kind} if kind else {}
        answer = httpx.post(
            f"{page}gradio_api/{path}", content=body.encode(), headers=headers, timeout=60
        )
        assert answer.status_code == 400, answer.text
        assert "no JSON that this page can read" in answer.text
