"""What a well-behaved visitor feels while another one floods the page.

The flood, bounded in count and time: search texts of 600 kB, 65 comparisons that are not waited
for, bodies of 60 MB, a session a request, and a crowd of connections that say nothing. Meanwhile
somebody opens the page, asks for a link and runs one small comparison. Aims: page and link within
1 s, the run begins within one job's time, memory within 10 % of before at the end.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
from gradio_client import Client

from benchmarks.serving import compare, p95, serving

SESSIONS = 1000
COMPARISONS = 65
CONNECTIONS = 200
LARGE = 60 * 2**20
ROUNDS = 20


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    with serving() as served:
        client = Client(served.url, verbose=False, analytics_enabled=False, download_files=False)
        quiet_run = _seconds(lambda: compare(client, ("fp32",), seed=1))
        quiet_run = _seconds(lambda: compare(client, ("fp32",), seed=2))
        before = served.rss_bytes
        over = threading.Event()
        floods = (_searches, _comparisons, _bodies, _sessions)
        with _connections(served.url), ThreadPoolExecutor(len(floods)) as crowd:
            busy = [crowd.submit(flood, served.url, over) for flood in floods]
            pages = [_seconds(lambda: httpx.get(served.url, timeout=120)) for _ in range(ROUNDS)]
            links = [_seconds(lambda: _link(client)) for _ in range(ROUNDS)]
            run = _seconds(lambda: compare(client, ("fp32",), seed=3))
            over.set()
            for each in busy:
                each.result()
        time.sleep(5)
        after = served.rss_bytes
        client.close()
    figures = {
        "page_p95_s": round(p95(pages), 3),
        "link_p95_s": round(p95(links), 3),
        "run_s": round(run, 2),
        "quiet_run_s": round(quiet_run, 2),
        "memory_ratio": round(after / before, 3),
    }
    for name, value in figures.items():
        print(f"{name:16}{value:10}")
    print(json.dumps(figures))


def _link(client: Client) -> object:
    return client.predict(plans=["fp32", "bnb-nf4"], prompt="a fox", api_name="/link")


def _searches(url: str, over: threading.Event) -> None:
    config = httpx.get(url + "config", timeout=120).json()
    parts = {part["id"]: part for part in config["components"]}
    wanted = next(i for i, part in parts.items() if part["props"].get("label") == "Search")
    event = next(d for d in config["dependencies"] if wanted in d["inputs"])
    data = [parts[i]["props"].get("value") for i in event["inputs"]]
    data[event["inputs"].index(wanted)] = "word " * 120_000
    for _ in range(200):
        if over.is_set():
            return
        body = {"data": data, "fn_index": event["id"], "session_hash": "searching"}
        httpx.post(f"{url}gradio_api/queue/join", json=body, timeout=120)


def _comparisons(url: str, over: threading.Event) -> None:
    client = Client(url, verbose=False, analytics_enabled=False, download_files=False)
    asked = {"plans": ["fp32", "bnb-nf4"], "steps": 1, "width": 64, "height": 64}
    jobs = []
    for number in range(COMPARISONS):
        if over.is_set():
            break
        jobs.append(client.submit(**asked, prompt=f"a fox {number}", api_name="/compare"))
    over.wait()
    for job in jobs:
        job.cancel()
    client.close()


def _bodies(url: str, over: threading.Event) -> None:
    for _ in range(20):
        if over.is_set():
            return
        with contextlib.suppress(httpx.HTTPError):  # it is refused while it is sent
            httpx.post(f"{url}gradio_api/queue/join", content=b" " * LARGE, timeout=120)


def _sessions(url: str, over: threading.Event) -> None:
    for _ in range(SESSIONS):
        if over.is_set():
            return
        body = {"data": ["flux1-dev", "rtx-3060-12gb"], "session_hash": secrets.token_hex(5)}
        httpx.post(f"{url}gradio_api/call/recommend", json=body, timeout=120)


@contextlib.contextmanager
def _connections(url: str) -> Iterator[None]:
    """Connections that say nothing, as long as this lasts."""
    where = urlsplit(url)
    with contextlib.ExitStack() as kept:
        for _ in range(CONNECTIONS):
            kept.enter_context(socket.create_connection((str(where.hostname), where.port or 80)))
        yield


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
