"""What is the same for everybody is made once, and asked for by address."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from html import unescape
from typing import Any

import gradio as gr
import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from quantlab.catalog.table import load_catalog
from quantlab.ui.kept.ahead import answer_ahead
from quantlab.ui.kept.answers import MAX_ASKED, Answers
from quantlab.ui.page import build
from quantlab.ui.services import Services
from quantlab.ui.visitors.turns import Turns
from tests.drawn import awaited
from tests.served_page import Counting, served


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(Counting(), tmp_path_factory.mktemp("answers")) as (url, _):
        yield url


def ask(page: str, *values: object, name: str = "ask", **more: Any) -> httpx.Response:
    asked = {"asked": json.dumps(values)}
    return httpx.get(f"{page}answers/{name}", params=asked, timeout=60, **more)


def question(page: str) -> list[Any]:
    """What a fresh page's controls hold."""
    config = httpx.get(page + "config", timeout=60).json()
    parts = {part["id"]: part["props"].get("value") for part in config["components"]}
    event = next(e for e in config["dependencies"] if "answers/" in str(e["js"]))
    return [parts[number] for number in event["inputs"]]


def test_the_table_of_a_question_is_an_answer_with_an_address(page: str) -> None:
    told = ask(page, *question(page)).json()[0]
    assert "ql-lead" in told
    address = unescape(told.partition('data-address="')[2].partition('"')[0])
    answer = ask(page, address, name="table")
    assert answer.status_code == 200
    assert "public" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] in ("br", "gzip")
    assert int(answer.headers["content-length"]) < 40_000 < len(answer.content)
    [table] = answer.json()
    assert table.count("<tr") > 50
    plain = ask(page, address, name="table", headers={"accept-encoding": "identity"})
    assert plain.content == answer.content
    assert "content-encoding" not in plain.headers
    for nothing in ("", "x", "hardware=abacus", "hardware=cuda&bits=x"):
        [said] = ask(page, nothing, name="table").json()
        assert "no table for this question" in said


@pytest.mark.parametrize(
    "asked", ["", "{}", "[1]", "[" * 3000, '["no such card"' + ', ""' * 20 + "]", "[" + " " * 9999]
)
def test_what_is_no_question_is_refused_in_a_sentence(page: str, asked: str) -> None:
    answer = httpx.get(f"{page}answers/ask", params={"asked": asked}, timeout=60)
    assert answer.status_code == 400
    assert len(answer.json()["detail"]) < 400
    assert httpx.get(f"{page}answers/other", timeout=60).status_code == 404


@pytest.mark.parametrize("asked", ["", "5", "{}", "[]", "[1, 2]", "[" * 3000])
def test_a_table_is_of_one_question(page: str, asked: str) -> None:
    answer = httpx.get(f"{page}answers/table", params={"asked": asked}, timeout=60)
    assert answer.status_code == 400
    assert len(answer.json()["detail"]) < 60


def test_an_answer_is_made_once_and_the_oldest_are_forgotten() -> None:
    made: list[list[Any]] = []

    async def answerer(values: list[Any]) -> list[Any]:
        made.append(values)
        if values == ["no"]:
            raise gr.Error("not that")
        return [f"<p>{values[0]}</p>", gr.skip()]

    answers = Answers(kept=2)
    answers.add("it", answerer)
    client = TestClient(Starlette(routes=[answers.route()]))

    def get(value: str) -> httpx.Response:
        return client.get("/answers/it", params={"asked": json.dumps([value])})

    for value in "aabbab":
        assert get(value).json() == [f"<p>{value}</p>", {"__type__": "update"}]
    assert made == [["a"], ["b"]]
    get("c")
    get("a")
    assert made == [["a"], ["b"], ["c"], ["a"]]
    assert get("no").json() == {"detail": "not that"}
    assert get("x" * MAX_ASKED).status_code == 400


def test_a_question_is_the_same_however_it_is_spelled() -> None:
    made: list[list[Any]] = []

    async def answerer(values: list[Any]) -> list[Any]:
        made.append(values)
        return values

    answers = Answers()
    answers.add("it", answerer)
    client = TestClient(Starlette(routes=[answers.route()]))
    for asked in ('["é", 1]', '["é",1]', '["\\u00e9" , 1]'):
        assert client.get("/answers/it", params={"asked": asked}).json() == ["é", 1]
    assert made == [["é", 1]]


def test_what_is_likely_is_answered_before_anybody_asks_and_while_nothing_runs() -> None:
    made: list[list[Any]] = []

    async def answerer(values: list[Any]) -> list[Any]:
        if values == ["bad"]:
            raise gr.Error("not that")
        made.append(values)
        return values

    answers = Answers(kept=6)
    answers.add("it", answerer, likely=[["bad"], ["a"], ["b"], ["more than half of what is kept"]])
    loop = asyncio.new_event_loop()
    serving = threading.Thread(target=loop.run_forever)
    serving.start()
    runs = iter([True, False])
    answer_ahead(answers, loop, lambda: next(runs, False)).join(timeout=60)
    loop.call_soon_threadsafe(loop.stop)
    serving.join()
    loop.close()
    assert made == [["a"], ["b"]]
    client = TestClient(Starlette(routes=[answers.route()]))
    assert client.get("/answers/it", params={"asked": '["b"]'}).json() == ["b"]
    assert made == [["a"], ["b"]]


def test_the_page_knows_what_is_asked_first(page: str) -> None:
    """What it opens with, but for one control: each is a question that has an answer."""
    first = question(page)
    likely = [
        values for _, values in build(Services(load_catalog(), Counting(), None)).answers.likely
    ]
    assert len(likely) > 30
    assert all(sum(a != b for a, b in zip(each, first, strict=True)) == 1 for each in likely)
    for values in (likely[0], likely[-1]):
        assert ask(page, *values).status_code == 200


def test_many_who_ask_at_once_get_one_answer() -> None:
    made: list[list[Any]] = []

    async def answerer(values: list[Any]) -> list[Any]:
        made.append(values)
        await asyncio.sleep(0.05)
        return values

    answers = Answers()
    answers.add("it", answerer)
    app = httpx.ASGITransport(app=Starlette(routes=[answers.route()]))

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=app, base_url="http://page") as http:
            asked = {"asked": json.dumps(["a"])}
            return await asyncio.gather(*(http.get("/answers/it", params=asked) for _ in range(5)))

    assert [answer.json() for answer in awaited(ask())] == [["a"]] * 5
    assert made == [["a"]]


def test_what_is_kept_waits_for_no_turn_and_what_is_made_has_one() -> None:
    """Of one visitor one at a time here: who asks for what another waits for is not behind it."""
    made: list[Any] = []
    free: list[asyncio.Event] = []

    async def answerer(values: list[Any]) -> list[Any]:
        made.append(values[0])
        await free[0].wait()
        return values

    answers = Answers(turns=Turns(each=1))
    answers.add("it", answerer)
    app = Starlette(routes=[answers.route()])

    def visitor(where: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=app, client=(where, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://page")

    async def story() -> None:
        free.append(asyncio.Event())
        async with visitor("8.8.8.8") as one, visitor("9.9.9.9") as other:

            def ask(who: httpx.AsyncClient, value: str) -> asyncio.Future[httpx.Response]:
                asked = {"asked": json.dumps([value])}
                return asyncio.ensure_future(who.get("/answers/it", params=asked))

            free[0].set()
            await ask(one, "kept")
            free[0].clear()
            flood = [ask(one, value) for value in "abc"]
            await asyncio.sleep(0.05)
            assert made == ["kept", "a"]
            assert (await ask(one, "kept")).json() == ["kept"]
            theirs = ask(other, "c")
            await asyncio.sleep(0.05)
            assert made == ["kept", "a", "c"]
            free[0].set()
            found = await asyncio.gather(*flood, theirs)
        assert [answer.json()[0] for answer in found] == ["a", "b", "c", "c"]
        assert made == ["kept", "a", "c", "b"]

    awaited(story())
