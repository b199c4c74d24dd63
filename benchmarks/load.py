"""Many visitors at once: sessions that filter and open stored results while a comparison runs.

Each session is a browser's traffic without the browser: the page's own requests over HTTP, with
the values that the page holds; nothing is kept between them, as a browser would. Figures are
seconds per request over all sessions; the aims are a p95 of 1 s in both for 50 sessions, of 0.3 s
for a stored result where there is one session, and no error. A session begins nothing more once
``--seconds`` have passed.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import httpx
from gradio_client import Client

from benchmarks.serving import Call, call_of, compare, p95, serving

PLANS = ("fp32", "bnb-nf4", "torchao-int8wo")
LONG = ("fp32", "bnb-nf4", "torchao-int8wo", "quanto-int8", "gguf-q4_0", "sdnq-uint4")
NEEDS = ("compile", "peft", "qat", "serializable", "on-the-fly")


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=10, help="filters and opens of each session")
    parser.add_argument("--seconds", type=float, default=150)
    counts = parser.parse_args()
    with serving() as served:
        client = Client(served.url, verbose=False, analytics_enabled=False, download_files=False)
        link = str(compare(client, PLANS)["link"])
        config = httpx.get(served.url + "config", timeout=60).json()
        calls = {
            "ask": call_of(config, lambda event: 'answers/${"ask"}' in str(event["js"])),
            "open_page": call_of(config, lambda event: event["api_name"] == "open_page"),
        }
        over, runs = threading.Event(), 0

        def keep_running() -> None:
            nonlocal runs
            while not over.is_set():
                compare(client, LONG, seed=runs, steps=8)
                runs += 1

        runner = threading.Thread(target=keep_running)
        runner.start()
        until = time.monotonic() + counts.seconds
        with ThreadPoolExecutor(counts.sessions) as visitors:
            found = list(
                visitors.map(
                    lambda number: _visit(served.url, calls, link, counts.rounds, number, until),
                    range(counts.sessions),
                )
            )
        over.set()
        runner.join()
        client.close()
    errors = sum(each[2] for each in found)
    filters = [second for each in found for second in each[0]]
    opened = [second for each in found for second in each[1]]
    print(f"{'':16}{'requests':>10}{'median s':>10}{'p95 s':>10}{'max s':>10}   aim")
    aims = (1.0, 0.3 if counts.sessions == 1 else 1.0)
    for (name, times), aim in zip(
        (("filter", filters), ("stored result", opened)), aims, strict=True
    ):
        row = f"{median(times):10.3f}{p95(times):10.3f}{max(times):10.3f}"
        print(f"{name:16}{len(times):10}{row}   p95 <= {aim:g}")
    print(f"{errors} errors (aim: none) while {runs} comparisons ran")
    figures = {
        "sessions": counts.sessions,
        "filter_p95_s": round(p95(filters), 3),
        "result_p95_s": round(p95(opened), 3),
        "errors": errors,
        "comparisons_meanwhile": runs,
    }
    print(json.dumps(figures))


def _visit(
    url: str, calls: Mapping[str, Call], link: str, rounds: int, number: int, until: float
) -> tuple[list[float], list[float], int]:
    """Seconds of each filter, of each opened result, and the count of errors, of one session."""
    filters: list[float] = []
    opened: list[float] = []
    errors = 0
    query = link.partition("?")[2]
    with httpx.Client(base_url=url, timeout=120) as http:
        for turn in range(rounds):
            if turn and time.monotonic() > until:
                break
            need = [NEEDS[(number + turn) % len(NEEDS)]]
            asked = calls["ask"]
            data = [need if isinstance(value, list) else value for value in asked.data]
            body = {
                "fn_index": calls["open_page"].index,
                "data": calls["open_page"].data,
                "session_hash": f"load-{number}",
            }
            filtered = http.build_request("GET", "answers/ask", params={"asked": json.dumps(data)})
            open_it = http.build_request("POST", f"gradio_api/run/predict?{query}", json=body)
            for request, times in ((filtered, filters), (open_it, opened)):
                started = time.perf_counter()
                answer = http.send(request)
                times.append(time.perf_counter() - started)
                errors += answer.status_code != 200
    return filters, opened, errors


if __name__ == "__main__":
    main()
