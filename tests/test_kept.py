"""The page is made and compressed once, and nothing of one visitor is in another's."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import brotli
import httpx
import pytest
from gradio.route_utils import get_root_url
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from quantlab.ui.kept.front import HEAD, NOBODY, Kept, Made
from tests.served_page import Counting, served


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(Counting(), tmp_path_factory.mktemp("kept")) as (url, _):
        yield url


def sent(url: str, accepted: str, **headers: str) -> tuple[httpx.Headers, bytes, int]:
    """Headers and bytes of an answer as they came over the line, and its status."""
    asked = {"accept-encoding": accepted, **headers}
    with httpx.stream("GET", url, headers=asked, timeout=60) as answer:
        return answer.headers, b"".join(answer.iter_raw()), answer.status_code


@pytest.mark.parametrize("path", ["", "config"])
def test_it_comes_in_the_form_that_the_browser_takes(page: str, path: str) -> None:
    headers, plain, _ = sent(page + path, "identity")
    assert "content-encoding" not in headers
    assert b"ql-head" in plain
    for accepted, name, read in (
        ("gzip, deflate, br, zstd", "br", brotli.decompress),
        ("gzip, br;q=0", "gzip", gzip.decompress),
    ):
        headers, body, _ = sent(page + path, accepted)
        assert headers["content-encoding"] == name
        assert "Accept-Encoding" in headers["vary"]
        assert read(body) == plain
        assert len(body) < len(plain) / 6


@pytest.mark.parametrize("path", ["", "?plans=fp32~bnb-nf4", "config"])
def test_a_browser_that_has_it_is_told_so(page: str, path: str) -> None:
    headers, _, _ = sent(page + path, "br")
    assert headers["cache-control"] == "no-cache"
    again, body, status = sent(page + path, "br", **{"if-none-match": headers["etag"]})
    assert (status, body, again["etag"]) == (304, b"", headers["etag"])


def test_scripts_are_kept_for_ever_and_look_the_same(page: str) -> None:
    script = re.search(r"assets/index-[\w-]+\.js", httpx.get(page, timeout=60).text)
    assert script
    headers, plain, _ = sent(page + script[0], "identity")
    assert "immutable" in headers["cache-control"]
    assert "javascript" in headers["content-type"]
    headers, body, _ = sent(page + script[0], "br")
    assert brotli.decompress(body) == plain
    assert sent(page + "assets/none-such.js", "br")[2] == 404


def test_addresses_of_the_page_are_those_it_was_asked_under(page: str) -> None:
    """Else who comes first, by whatever name, would decide where others load from."""
    port = urlsplit(page).port
    for name in ("localhost", "127.0.0.1", "localhost"):
        text = httpx.get(page, headers={"host": f"{name}:{port}"}, timeout=60).text
        assert f'"root":"http://{name}:{port}"' in text
    forwarded = {"x-forwarded-host": "lab.example", "x-forwarded-proto": "https"}
    assert '"root":"https://lab.example"' in httpx.get(page, headers=forwarded, timeout=60).text
    assert "lab.example" not in httpx.get(page, timeout=60).text


def test_the_page_of_every_link_is_made_of_one() -> None:
    """Who asks for one link after the other would have the page made anew for each."""
    made: list[str] = []

    async def front(request: Request) -> Response:
        made.append(str(request.url))
        return PlainTextResponse("page" * 1000, headers={"x-made": "here"})

    class Tags:
        def __init__(self, app: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            query = scope.get("query_string", b"").decode()
            await self._app({**scope, HEAD: query}, receive, send)

    stack = [Middleware(Tags), Middleware(Kept), Middleware(Made)]
    client = TestClient(Starlette(routes=[Route("/", front)], middleware=stack))
    for query in ("a", "b", "a"):
        answer = client.get(f"/?{query}")
        assert answer.text == "page" * 1000
    assert len(made) == 1
    client.get("/?page=other")
    assert len(made) == 2


@pytest.mark.parametrize("root_path", ["", "/lab"])
def test_a_made_up_host_has_no_page_made_anew(root_path: str) -> None:
    """And gets its own address, in which nothing can end the script that it stands in."""
    made: list[str] = []

    async def front(request: Request) -> Response:
        root = get_root_url(request, "/", request.scope["root_path"])
        made.append(root)
        return PlainTextResponse(f'<script>window.gradio_config = {{"root":"{root}"}}</script>')

    app = Starlette(routes=[Route("/", front)], middleware=[Middleware(Made)])
    client = TestClient(app, root_path=root_path)
    for number in range(20):
        host = f"{number}.example"
        answer = client.get("/", headers={"host": host})
        assert f'{{"root":"http://{host}{root_path}"}}' in answer.text
        assert int(answer.headers["content-length"]) == len(answer.content)
    told = {"x-forwarded-host": "lab.example", "x-forwarded-proto": "https"}
    assert f'"https://lab.example{root_path}"' in client.get("/", headers=told).text
    assert made == [f"http://{NOBODY}{root_path}"]
    for host in ('a"b', "</script><b>", "a'b&c", "[::1", "a:b", " "):
        answer = client.get("/", headers={"x-forwarded-host": host})
        assert answer.status_code in (200, 400)
        assert answer.status_code == 400 or answer.text.count("<") == 2
    assert len(made) == 1


def test_it_is_made_once_and_what_is_another_page_each_time() -> None:
    made: list[str] = []

    async def front(request: Request) -> Response:
        made.append(str(request.url))
        return PlainTextResponse(f"{request.headers['host']} {len(made)}" * 1000)

    async def failing(request: Request) -> Response:
        made.append(str(request.url))
        return PlainTextResponse("gone", 404)

    routes = [Route("/", front), Route("/assets/{name}", failing)]
    client = TestClient(Starlette(routes=routes, middleware=[Middleware(Kept, most_bytes=300)]))
    first = client.get("/").text
    assert client.get("/?plans=fp32").text == first
    assert len(made) == 1
    for query in ("?deep_link=a", "?page=b"):
        client.get(f"/{query}")
    client.post("/")
    assert len(made) == 3
    for number in range(20):  # the oldest are forgotten
        client.get("/", headers={"host": f"{number}.example"})
    client.get("/")
    assert len(made) == 24
    for _ in range(2):
        assert client.get("/assets/a.js").status_code == 404
    assert len(made) == 26
