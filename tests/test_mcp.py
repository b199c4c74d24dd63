"""The page for agents: a real MCP client, over streamable HTTP, against the served page."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, ListToolsResult, TextContent
from PIL import Image

from quantlab.catalog.table import load_catalog
from quantlab.lab.runners.local import LocalRunner
from quantlab.record.link import from_url
from tests.drawn import awaited
from tests.served_page import Counting, served

NAMES = ["recommend", "propose", "predict", "check", "compare", "link", "result"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(LocalRunner(load_catalog()), tmp_path_factory.mktemp("mcp")) as (address, _):
        yield address


def ask(url: str, work: Callable[[ClientSession], Awaitable[Any]]) -> Any:
    """What ``work`` gives in a session with the page."""

    async def session() -> Any:
        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as client,
        ):
            await client.initialize()
            return await work(client)

    return awaited(session())


def call(url: str, name: str, **values: Any) -> CallToolResult:
    return ask(url, lambda client: client.call_tool(name, values))


def read(answer: CallToolResult) -> Any:
    """The JSON document of an answer."""
    assert not answer.isError, answer.content
    assert isinstance(answer.content[0], TextContent)
    return json.loads(answer.content[0].text)


def test_the_tools_are_the_five_functions(url: str) -> None:
    found: ListToolsResult = ask(url, lambda client: client.list_tools())
    assert [tool.name for tool in found.tools] == NAMES
    for tool in found.tools:
        assert tool.description
        assert ".." not in tool.description
        properties = tool.inputSchema["properties"]
        assert all(each.get("description") for each in properties.values()), tool.name
        assert not {"services", "request"} & set(properties)
    compare = next(t for t in found.tools if t.name == "compare").inputSchema
    assert compare["required"] == ["plans", "prompt"]
    assert compare["properties"]["plans"]["items"] == {"type": "string"}


def test_a_comparison_is_json_with_its_images(url: str) -> None:
    answer = call(url, "compare", plans=["fp32", "bnb-nf4"], prompt="a fox", steps=1)
    document = read(answer)
    assert [outcome["status"] for outcome in document["outcomes"]] == ["ok", "ok"]
    assert document["outcomes"][0]["psnr_db"] is None
    assert from_url(document["link"]).as_dict() == document["comparison"]
    pictures = [each for each in answer.content if isinstance(each, ImageContent)]
    assert len(pictures) == 2
    for picture, outcome in zip(pictures, document["outcomes"], strict=True):
        png = base64.b64decode(picture.data)
        assert Image.open(io.BytesIO(png)).size == (128, 128)
        assert httpx.get(outcome["image"]).content == png
    again = call(url, "result", id=document["results"][1])
    assert read(again)["outcome"]["psnr_db"] == document["outcomes"][1]["psnr_db"]
    assert isinstance(again.content[1], ImageContent)
    assert again.content[1].data == pictures[1].data


def test_recommend_predict_and_link_answer_in_json(url: str) -> None:
    rows = read(call(url, "recommend", hardware="cpu", bits=4, model="flux-mini"))
    assert "bnb-nf4" in [row["scheme"] for row in rows if row["verdict"] == "runs"]
    (row,) = read(call(url, "predict", plans=["bnb-nf4"]))
    assert 6e9 < row["component_bytes"]["transformer"] < 8e9
    found = read(call(url, "link", plans=["fp32"], prompt="a fox"))
    assert from_url(found["url"]).prompt == "a fox"


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("recommend", {"hardware": "abacus"}, "hardware: unknown hardware 'abacus'"),
        ("predict", {"plans": ["nope"]}, "plan: unknown scheme 'nope'"),
        ("compare", {"plans": ["fp32"], "prompt": "", "model": "nope"}, "model: unknown model"),
        ("compare", {"plans": "fp32", "prompt": ""}, "plans: must be a list of texts"),
        ("compare", {"plans": ["fp32"]}, "prompt: is missing; compare needs it"),
        ("compare", {"plans": ["fp32"], "prompt": "", "seed": "1"}, "seed: '1' is not a whole"),
        ("recommend", {"hardwear": "cpu"}, "recommend: takes no 'hardwear'; it takes hardware, b"),
        ("recommend", {"bits": "4"}, "bits: must be a number"),
        ("result", {"id": "x" * 5000}, "id: 5000 characters; at most 4000 are allowed"),
        ("result", {"id": "abcdefghijkl"}, "id: no result abcdefghijkl is stored here"),
        ("run", {}, "tool: there is no 'run'; there are recommend, propose"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    url: str, name: str, values: dict[str, Any], message: str
) -> None:
    answer = call(url, name, **values)
    assert answer.isError
    (content,) = answer.content
    assert isinstance(content, TextContent)
    assert content.text.startswith(message)
    assert len(content.text.splitlines()) == 1


def test_the_page_starts_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: find(name, *more) if name != "mcp" else None,
    )
    with served(Counting(), tmp_path) as (url, _):
        assert httpx.get(url).status_code == 200
        assert httpx.get(f"{url}gradio_api/mcp/").status_code == 404
