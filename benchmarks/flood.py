"""What a well-behaved visitor feels while another one floods the page.

The page is public, and may open few files. The flood comes from one address and is bounded in count
and time: search texts of 600 kB, 65 comparisons that nobody waits for, bodies of 60 MB, 5,000
visitors who are not heard of again, and more connections that say nothing than the server has room
for. Meanwhile somebody at another address opens the page, asks for a link and runs one small
comparison. Aims: page and link within 1 s, a run that begins within one job's time, memory within
10 % of before at the end, a log of no more than a megabyte.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
from gradio_client import Client

from benchmarks.serving import PROMPT, Served, compare, p95, serving

COMPARISONS = 65
CONNECTIONS = 400
FILES = 512
"""What the server may open: room for 256 connections."""
LARGE = 60 * 2**20
ROUNDS = 20
LONGEST_S = 120.0
"""After which no flood begins anything more."""
FLOODER = {"x-forwarded-for": "8.8.4.4"}
VISITOR = {"x-forwarded-for": "8.8.8.8"}


class Clock:
    """Whether the floods go on."""

    def __init__(self, seconds: float) -> None:
        self._until, self.over = time.monotonic() + seconds, threading.Event()

    @property
    def on(self) -> bool:
        return not self.over.is_set() and time.monotonic() < self._until


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=5000)
    sessions = parser.parse_args().sessions
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))  # which the server inherits
    with serving(GRADIO_SERVER_NAME="0.0.0.0") as served:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        figures = _measure(served, sessions)
    aims = {
        "page_p95_s": "<= 1",
        "link_p95_s": "<= 1",
        "begins_s": f"<= {figures['job_s']} (job_s)",
        "memory_ratio": "<= 1.1",
        "log_bytes": "<= 1048576",
    }
    print(f"{'':16}{'':>10}   aim")
    for name, value in figures.items():
        print(f"{name:16}{value:10}   {aims.get(name, '')}")
    print(json.dumps(figures))


def _measure(served: Served, sessions: int) -> dict[str, float]:
    url = served.url
    client = Client(
        url, verbose=False, analytics_enabled=False, download_files=False, headers=VISITOR
    )
    compare(client, ("fp32", "bnb-nf4"), seed=1)
    job_s = _seconds(lambda: compare(client, ("fp32", "bnb-nf4"), seed=2))
    quiet_s = _seconds(lambda: compare(client, ("fp32",), seed=3))
    before = served.rss_bytes
    clock = Clock(LONGEST_S)
    with (
        httpx.Client(headers=VISITOR, timeout=120) as http,
        _connections(url),
        ThreadPoolExecutor(4) as crowd,
    ):
        come = crowd.submit(_sessions, url, clock, sessions)
        busy = [crowd.submit(flood, url, clock) for flood in (_searches, _comparisons, _bodies)]
        pages = [_seconds(lambda: http.get(url)) for _ in range(ROUNDS)]
        links = [_seconds(lambda: _link(client)) for _ in range(ROUNDS)]
        run_s = _seconds(lambda: compare(client, ("fp32",), seed=4))
        came = come.result()
        clock.over.set()
        for each in busy:
            each.result()
    time.sleep(5)
    after = served.rss_bytes
    client.close()
    return {
        "page_p95_s": round(p95(pages), 3),
        "link_p95_s": round(p95(links), 3),
        "begins_s": round(max(0.0, run_s - quiet_s), 2),
        "job_s": round(job_s, 2),
        "sessions": came,
        "memory_ratio": round(after / before, 3),
        "log_bytes": served.log.stat().st_size,
    }


def _link(client: Client) -> object:
    return client.predict(plans=["fp32", "bnb-nf4"], prompt="a fox", api_name="/link")


def _searches(url: str, clock: Clock) -> None:
    config = httpx.get(url + "config", timeout=120).json()
    parts = {part["id"]: part for part in config["components"]}
    wanted = next(i for i, part in parts.items() if part["props"].get("label") == "Search")
    event = next(d for d in config["dependencies"] if wanted in d["inputs"])
    data = [parts[i]["props"].get("value") for i in event["inputs"]]
    data[event["inputs"].index(wanted)] = "word " * 120_000
    body = {"data": data, "fn_index": event["id"], "session_hash": "searching"}
    for _ in range(200):
        if clock.on:
            _post(f"{url}gradio_api/queue/join", json=body)


def _comparisons(url: str, clock: Clock) -> None:
    client = Client(
        url, verbose=False, analytics_enabled=False, download_files=False, headers=FLOODER
    )
    jobs = []
    for number in range(COMPARISONS):
        if clock.on:
            asked = {"plans": ["fp32", "bnb-nf4"], "prompt": f"{PROMPT} {number}", "steps": 1}
            jobs.append(client.submit(**asked, width=64, height=64, api_name="/compare"))
    clock.over.wait()
    for job in jobs:
        job.cancel()
    client.close()


def _bodies(url: str, clock: Clock) -> None:
    for _ in range(20):
        if clock.on:
            _post(f"{url}gradio_api/queue/join", content=b" " * LARGE)


def _sessions(url: str, clock: Clock, count: int) -> int:
    """How many came: each a visitor of whom nothing more is heard."""
    with httpx.Client(base_url=url, headers=FLOODER, timeout=120) as http:
        for number in range(count):
            if not clock.on:
                return number
            body = {"data": ["flux1-dev", "rtx-3060-12gb"], "session_hash": secrets.token_hex(5)}
            with contextlib.suppress(httpx.HTTPError):
                http.post("gradio_api/call/recommend", json=body)
    return count


def _post(url: str, **more: Any) -> None:
    with contextlib.suppress(httpx.HTTPError):  # it is refused, some while it is sent
        httpx.post(url, headers=FLOODER, timeout=120, **more)


@contextlib.contextmanager
def _connections(url: str) -> Iterator[None]:
    """Connections that say nothing, made again where the server ends them, until this ends."""
    where = urlsplit(url)
    over = threading.Event()

    def keep() -> None:
        lines: deque[socket.socket] = deque()
        while not over.wait(0.1):
            for _ in range(CONNECTIONS // 40):
                with contextlib.suppress(OSError):
                    where_to = (str(where.hostname), where.port or 80)
                    lines.append(socket.create_connection(where_to, 5))
            while len(lines) > CONNECTIONS:
                lines.popleft().close()
        for line in lines:
            line.close()

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
