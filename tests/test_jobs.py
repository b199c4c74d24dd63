"""Who waits and who runs: one job at a time, and no visitor can take the line from the others."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from benchmarks.flood import Button
from quantlab.errors import InputError
from quantlab.ui.guard.hosts import address
from quantlab.ui.jobs import Jobs, Wait
from quantlab.ui.services import Services
from quantlab.words.settings import SETTINGS
from tests.drawn import awaited, drawn
from tests.served_page import Counting, served

LIMIT_S = 60
REST = ("flux-mini", 0, *[None] * (len(SETTINGS) - 2))
"""Model and seed, and the settings beside prompt and seed, which are left to the model."""


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_a_visitor_has_one_job_that_runs_and_one_that_waits() -> None:
    """However many sessions they come with."""
    jobs = Jobs()
    tokens = [jobs.queue(f"session {n}", "203.0.113.9")[0] for n in range(2)]
    with pytest.raises(InputError, match="one of yours runs and one waits already"):
        jobs.queue("another session", "203.0.113.9")
    assert jobs.queue("neighbour", "203.0.113.10")[1] == 2
    jobs.end(tokens[0])
    assert jobs.queue("another session", "203.0.113.9")[1] == 2


def test_the_wait_is_estimated_from_what_jobs_took() -> None:
    jobs = Jobs()
    first = jobs.queue("a")[0]
    second = jobs.queue("b")[0]
    assert jobs.wait(second) == Wait(1, None)
    jobs.start(first)
    time.sleep(0.05)
    jobs.end(first)
    third = jobs.queue("c")[0]
    jobs.start(second)
    wait = jobs.wait(third)
    assert wait is not None
    assert wait.seconds is not None
    assert 0 <= wait.seconds < 5


def test_visitors_take_turns() -> None:
    """The second job of one waits until others, who came while the first ran, have had theirs."""
    jobs = Jobs()
    names = {jobs.queue("a")[0]: "a1", jobs.queue("a")[0]: "a2", jobs.queue("b")[0]: "b1"}
    tokens = {name: token for token, name in names.items()}

    def ahead(name: str) -> int:
        wait = jobs.wait(tokens[name])
        assert wait is not None
        return wait.ahead

    assert jobs.start(tokens["a1"]) is not None
    assert [ahead(name) for name in ("a1", "b1", "a2")] == [0, 1, 2]
    jobs.end(tokens["a1"])
    tokens["c1"] = jobs.queue("c")[0]
    assert [ahead(name) for name in ("b1", "a2", "c1")] == [0, 1, 2]
    assert jobs.start(tokens["a2"]) is None
    assert jobs.start(tokens["b1"]) is not None
    tokens["b2"] = jobs.queue("b")[0]
    assert [ahead(name) for name in ("b1", "a2", "c1", "b2")] == [0, 1, 2, 3]


def test_nobody_waits_behind_a_job_whose_caller_is_gone() -> None:
    jobs = Jobs(silent_s=0.3)
    jobs.queue("gone")
    token = jobs.queue("here")[0]
    waits = drawn(jobs.turn(token))
    assert [wait.ahead for wait in waits] == [1]
    assert jobs.start(token) is not None


def test_a_job_that_was_taken_out_of_the_line_ends_its_wait() -> None:
    jobs = Jobs()
    jobs.start(jobs.queue("a")[0])
    waiting = jobs.queue("b")[0]
    assert not jobs.stop("b")
    assert drawn(jobs.turn(waiting)) == []
    assert jobs.start(waiting) is None


def test_a_job_runs_in_its_turn_though_nobody_asks_unless_its_visitor_is_gone() -> None:
    jobs, begun = Jobs(), list[str]()
    tokens = {name: jobs.queue(name)[0] for name in ("a", "gone", "b", "stopped", "c")}
    stops = {}
    for name, token in tokens.items():
        jobs.keep(token, name)

        def begin(stop: threading.Event, name: str = name) -> None:
            stops[name] = stop
            begun.append(name)

        jobs.run_in_turn(token, begin)
    assert begun == ["a"]
    assert jobs.start(tokens["a"]) is stops["a"], "whose page asks by now hears of the same run"
    jobs.leave("gone")
    jobs.stop("stopped")
    jobs.end(tokens["a"])
    assert begun == ["a"], "who is gone may come back, and is not run meanwhile"
    assert jobs.adopt(tokens["gone"], "back")
    assert jobs.start(tokens["gone"]) is not None
    assert begun == ["a"]
    jobs.end(tokens["gone"])
    assert begun == ["a", "b"]
    jobs.stop("b")
    assert stops["b"].is_set()
    assert begun == ["a", "b"], "one at a time"
    jobs.end(tokens["b"])
    assert begun == ["a", "b", "c"]
    jobs.end(tokens["c"])
    assert not len(jobs)


def test_a_visitor_is_the_address_that_the_last_proxy_saw() -> None:
    forged = {"x-forwarded-for": "8.8.8.8, 1.1.1.1, 10.0.0.3"}
    assert address(forged, "10.0.0.9") == "1.1.1.1"
    assert address({}, "203.0.113.9") == "203.0.113.9"
    assert address({"x-forwarded-for": "unknown, <b>"}, "203.0.113.9") == "203.0.113.9"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Services, Counting]]:
    runner = Counting()
    folder: Path = tmp_path_factory.mktemp("jobs")
    with served(runner, folder) as (url, services):
        yield url, services, runner


def call(url: str, prompt: str) -> str:
    """Start a comparison through the API; gives its event."""
    body = {"data": [["fp32"], prompt, *REST]}
    answer = httpx.post(f"{url}gradio_api/call/compare", json=body, timeout=LIMIT_S)
    return str(answer.json()["event_id"])


def test_a_run_begins_before_its_page_asks_what_becomes_of_it(
    page: tuple[str, Services, Counting],
) -> None:
    url, services, runner = page
    before = len(runner.asked)
    front, _ = services.jobs.queue("before")
    assert services.jobs.start(front) is not None
    with httpx.Client(base_url=url, timeout=LIMIT_S) as browser:
        Button(browser).press("a page that says no more")
    assert len(services.jobs) == 2
    assert len(runner.asked) == before
    services.jobs.end(front)
    until(lambda: len(services.jobs) == 0)
    assert len(runner.asked) == before + 1


def test_a_run_whose_listener_is_gone_stops(page: tuple[str, Services, Counting]) -> None:
    url, services, runner = page
    runner.free.clear()
    before = len(runner.asked)
    event = call(url, "a fox")
    with httpx.stream("GET", f"{url}gradio_api/call/compare/{event}", timeout=LIMIT_S):
        until(lambda: len(runner.asked) > before)
        assert len(services.jobs) == 1
    until(lambda: len(services.jobs) == 0)
    runner.free.set()


def test_a_run_whose_agent_is_gone_stops(page: tuple[str, Services, Counting]) -> None:
    """An MCP client that ends in the middle of its call."""
    url, services, runner = page
    runner.free.clear()
    before = len(runner.asked)

    async def leave() -> None:
        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as client,
        ):
            await client.initialize()
            asked = {"plans": ["fp32", "bf16"], "prompt": "a fox"}
            calling = asyncio.ensure_future(client.call_tool("compare", asked))
            await asyncio.to_thread(until, lambda: len(runner.asked) > before)
            assert len(services.jobs) == 1
            calling.cancel()

    awaited(leave())
    until(lambda: len(services.jobs) == 0)
    runner.free.set()


def test_cheap_calls_do_not_wait_behind_many_runs(page: tuple[str, Services, Counting]) -> None:
    """65 waiting comparisons used to fill one queue for everybody: also for links."""
    url, services, runner = page
    runner.free.clear()
    for number in range(70):
        call(url, f"a fox {number}")
    until(lambda: len(services.jobs) > 1)
    body = {"data": [["fp32", "bnb-nf4"], "a cat", *REST]}
    event = httpx.post(f"{url}gradio_api/call/link", json=body, timeout=LIMIT_S).json()["event_id"]
    with httpx.stream("GET", f"{url}gradio_api/call/link/{event}", timeout=LIMIT_S) as lines:
        told = next(line for line in lines.iter_lines() if line.startswith("data: [{"))
    assert "plans=fp32~bnb-nf4" in json.loads(told.removeprefix("data: "))[0]["url"]
    runner.free.set()
    until(lambda: len(services.jobs) == 0)
    assert runner.most_at_once == 1
