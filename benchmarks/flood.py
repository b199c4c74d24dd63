"""What a well-behaved visitor feels while another one floods the page.

The page is public, and may open few files. The flood comes from an address of its own, 127.0.0.2,
and is bounded in count and time: search texts of 600 kB, comparisons asked for again and again,
bodies of 60 MB, 5,000 visitors who are not heard of again, and more connections that say nothing
than the server has room for. Meanwhile somebody at 127.0.0.1 opens the page, asks for a link and
runs small comparisons. Aims: page and link within 1 s, no error, a run that begins within one job's
time (from Run to the first plan under way, on the page), memory within 10 % of before at the end, a
log of no more than a megabyte; before and after, the server is let come to rest. Needs a system
where all of 127.0.0.0/8 is this machine, as Linux is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import resource
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.serving import PROMPT, Call, Served, call_of, p95, serving

COMPARISONS = 65
CONNECTIONS = 400
FILES = 512
"""What the server may open: room for 256 connections."""
LARGE = 60 * 2**20
BODIES = SEARCHES = 200
RUNS = 3
PAUSE_S = 0.2
"""Between two of the same flood, and of the visitor."""
WAIT_S = 20.0
"""After which whoever asked gives up."""
FLOODER = "127.0.0.2"
UNDER_WAY = re.compile(r"1 of \d, ")
"""How a run says that its first plan is."""
WARM = 20
"""Comparisons before memory is measured first: libraries are imported meanwhile, caches filled."""
SMALL = {"prompt": PROMPT, "steps": 1, "width": 64, "height": 64}

LINK = {"plans": ["fp32", "bnb-nf4"], "prompt": PROMPT}


class Clock:
    """Whether the floods go on: for so many seconds, or until ``over`` is set."""

    def __init__(self, seconds: float) -> None:
        self._until, self.over = time.monotonic() + seconds, threading.Event()

    @property
    def on(self) -> bool:
        return not self.over.is_set() and time.monotonic() < self._until


class Figures:
    """Seconds of what the visitor did, and how often it went wrong."""

    def __init__(self) -> None:
        self.errors = 0

    def seconds(self, work: Callable[[], object]) -> float:
        """How long ``work`` takes, also where it fails."""
        started = time.perf_counter()
        try:
            work()
        except (httpx.HTTPError, RuntimeError):
            self.errors += 1
        return time.perf_counter() - started


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=120, help="that the flood lasts at most")
    asked = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))  # which the server inherits
    with serving(GRADIO_SERVER_NAME="0.0.0.0") as served:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        figures = _measure(served, asked.sessions, asked.seconds)
    aims = {
        "page_p95_s": "<= 1",
        "link_p95_s": "<= 1",
        "errors": "0",
        "begins_s": f"<= {figures['job_s']} (job_s)",
        "memory_ratio": "<= 1.1",
        "log_bytes": "<= 1048576",
    }
    print(f"{'':16}{'':>10}   aim")
    for name, value in figures.items():
        print(f"{name:16}{value:10}   {aims.get(name, '')}")
    print(json.dumps(figures))


def _measure(served: Served, sessions: int, seconds: float) -> dict[str, float]:
    visitor = httpx.Client(base_url=served.url, timeout=WAIT_S)
    for number in range(WARM):
        _told(visitor, "compare", plans=["fp32", "bnb-nf4"], seed=number, **SMALL)
    felt = Figures()
    job_s = felt.seconds(lambda: _told(visitor, "compare", plans=["fp32", "bnb-nf4"], **SMALL))
    button = Button(visitor)
    served.rest()
    before = served.rss_bytes
    clock, came = Clock(seconds), [0]
    floods = [
        threading.Thread(target=flood, args=(served.url, clock), daemon=True)
        for flood in (_connections, _searches, _bodies, _comparisons, _comparisons)
    ]
    floods.append(
        threading.Thread(target=_sessions, args=(served.url, clock, sessions, came), daemon=True)
    )
    for each in floods:
        each.start()
    pages: list[float] = []
    links: list[float] = []
    runs: list[float] = []
    while floods[-1].is_alive():
        pages.append(felt.seconds(lambda: httpx.get(served.url, timeout=WAIT_S).raise_for_status()))
        links.append(felt.seconds(lambda: _told(visitor, "link", **LINK)))
        if len(runs) < RUNS and len(pages) % 10 == 5:
            felt.seconds(lambda: runs.append(button.begins(f"runner-{len(runs)}")))
        time.sleep(PAUSE_S)
    clock.over.set()
    for each in floods:
        each.join(WAIT_S)
    served.rest()
    return {
        "page_p95_s": round(p95(pages), 3),
        "link_p95_s": round(p95(links), 3),
        "rounds": len(pages),
        "errors": felt.errors,
        "begins_s": round(max(runs), 2) if len(runs) == RUNS else WAIT_S,
        "job_s": round(job_s, 2),
        "sessions": came[0],
        "memory_ratio": round(served.rss_bytes / before, 3),
        "log_bytes": served.log.stat().st_size,
    }


class Button:
    """Run on the page, as a browser presses it."""

    def __init__(self, http: httpx.Client) -> None:
        self._http, config = http, http.get("config").json()
        names = {each["id"]: each["props"].get("elem_id") for each in config["components"]}

        def checks(event: Any) -> bool:
            return {"ql-steps", "ql-mine"} <= {names[number] for number in event["inputs"]}

        self._check = call_of(config, checks, **SMALL)
        self._run = call_of(config, lambda event: event["api_name"] == "run")

    def press(self, session: str) -> None:
        """The first of the page's two requests: the job is taken in."""
        for _ in self._answer(self._check, session):
            pass

    def begins(self, session: str) -> float:
        """Seconds until the first plan is under way; the run is followed to its end.

        Raises:
            RuntimeError: it never was.
        """
        started, seconds = time.perf_counter(), 0.0
        self.press(session)
        for line in self._answer(self._run, session):
            if not seconds and UNDER_WAY.search(line):
                seconds = time.perf_counter() - started
        if not seconds:
            raise RuntimeError("no plan of a run was ever under way")
        return seconds

    def _answer(self, call: Call, session: str) -> Iterator[str]:
        body = {"data": call.data, "fn_index": call.index, "session_hash": session}
        self._http.post("gradio_api/queue/join", json=body).raise_for_status()
        asked = {"session_hash": session}
        with self._http.stream("GET", "gradio_api/queue/data", params=asked) as lines:
            yield from lines.iter_lines()


def _told(http: httpx.Client, name: str, **given: Any) -> Any:
    """What a function of the page's API answers.

    Raises:
        RuntimeError: nothing, or an error, or nothing in time.
    """
    until = time.monotonic() + WAIT_S
    asked = http.post(f"gradio_api/call/v2/{name}", json=given)
    asked.raise_for_status()
    kind = ""
    with http.stream("GET", f"gradio_api/call/v2/{name}/{asked.json()['event_id']}") as lines:
        for line in lines.iter_lines():
            kind = line.removeprefix("event: ") if line.startswith("event: ") else kind
            if line.startswith("data: ") and kind == "complete":
                return json.loads(line.removeprefix("data: "))
            if time.monotonic() > until:
                raise RuntimeError(f"{name} answered nothing in {WAIT_S:.0f} s")
    raise RuntimeError(f"{name} answered {kind or 'nothing'}")


def _flooder(url: str) -> httpx.Client:
    transport = httpx.HTTPTransport(local_address=FLOODER)
    return httpx.Client(base_url=url, transport=transport, timeout=WAIT_S)


def _searches(url: str, clock: Clock) -> None:
    """A search of the stored results for 600 kB, again and again."""
    with _flooder(url) as http:
        config = http.get("config").json()
        parts = {part["id"]: part for part in config["components"]}
        wanted = next(i for i, part in parts.items() if part["props"].get("label") == "Search")
        event = next(d for d in config["dependencies"] if wanted in d["inputs"])
        data = [parts[i]["props"].get("value") for i in event["inputs"]]
        data[event["inputs"].index(wanted)] = "word " * 120_000
        body = {"data": data, "fn_index": event["id"], "session_hash": "searching"}
        _again(SEARCHES, clock, lambda: http.post("gradio_api/queue/join", json=body))


def _comparisons(url: str, clock: Clock) -> None:
    """Comparisons that are listened to, one after the other, refused or not."""
    numbers = iter(range(COMPARISONS))
    with _flooder(url) as http:
        given = {**SMALL, "plans": ["fp32", "bnb-nf4"]}

        def ask() -> None:
            _told(http, "compare", **{**given, "prompt": f"{PROMPT} {next(numbers)}"})

        _again(COMPARISONS, clock, ask)


def _bodies(url: str, clock: Clock) -> None:
    with _flooder(url) as http:
        body = b" " * LARGE
        _again(BODIES, clock, lambda: http.post("gradio_api/queue/join", content=body))


def _again(count: int, clock: Clock, work: Callable[[], object]) -> None:
    for _ in range(count):
        if not clock.on:
            return
        with contextlib.suppress(httpx.HTTPError, RuntimeError):  # some is refused while it is sent
            work()
        clock.over.wait(PAUSE_S)


def _sessions(url: str, clock: Clock, count: int, came: list[int]) -> None:
    """Visitors of whom nothing more is heard; ``came`` is told how many did."""
    with _flooder(url) as http:
        for _ in range(count):
            if not clock.on:
                return
            with contextlib.suppress(httpx.HTTPError):  # each call without a session begins one
                http.post("gradio_api/call/v2/link", json=LINK)
            came[0] += 1


def _connections(url: str, clock: Clock) -> None:
    """Connections that say nothing, made again where the server ends them, until this ends."""
    where = urlsplit(url)
    there = (str(where.hostname), where.port or 80)
    lines: deque[socket.socket] = deque()
    while clock.on and not clock.over.wait(0.1):
        for _ in range(CONNECTIONS // 40):
            with contextlib.suppress(OSError):
                lines.append(socket.create_connection(there, 5, source_address=(FLOODER, 0)))
        while len(lines) > CONNECTIONS:
            lines.popleft().close()
    for line in lines:
        line.close()


if __name__ == "__main__":
    main()
