"""What a first visit costs on a slow line: bytes, and seconds until something and the answer show.

Headless chromium with an empty cache, held to 1.6 Mbit/s and 150 ms by its own network emulation, a
phone's on a poor day. ``first_content_s`` is chromium's first contentful paint, ``answer_s`` the
answer on the Pick tab. The aim is first content within 4 s. A second visit finds the scripts in the
browser's cache.
"""

from __future__ import annotations

import json
import shutil
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.serving import serving

BITS_PER_S = 1_600_000
LATENCY_MS = 150
VISITS = 3
FIRST_CONTENT_S = 4.0
ANSWER = "#ql-answer .ql-lead"
PAINTED = """() => performance.getEntriesByName("first-contentful-paint")[0].startTime / 1000"""


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    with serving() as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        visits = [_visit(browser, served.url) for _ in range(VISITS + 1)][1:]
        browser.close()
    print(f"{'visit':10}{'bytes':>10}{'first content s':>18}{'answer s':>10}   aim")
    for name in ("first", "second"):
        found = {key: median(visit[name][key] for visit in visits) for key in visits[0][name]}
        row = f"{found['bytes']:10.0f}{found['content_s']:18.2f}{found['answer_s']:10.2f}"
        print(f"{name:10}{row}   first content <= {FIRST_CONTENT_S:g}")
    figures = {
        f"{name}_{key}": round(median(visit[name][key] for visit in visits), 3)
        for name in ("first", "second")
        for key in ("bytes", "content_s", "answer_s")
    }
    print(json.dumps(figures))


def _visit(browser: Any, url: str) -> dict[str, dict[str, float]]:
    """Two visits by somebody who was never there before."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    found = {name: _opened(context, url) for name in ("first", "second")}
    context.close()
    return found


def _opened(context: Any, url: str) -> dict[str, float]:
    page = context.new_page()
    line = context.new_cdp_session(page)
    line.send("Network.enable")
    bytes_per_s = BITS_PER_S / 8
    line.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": LATENCY_MS,
            "downloadThroughput": bytes_per_s,
            "uploadThroughput": bytes_per_s,
        },
    )
    loaded: list[float] = []
    line.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    page.goto(url, wait_until="commit", timeout=120_000)
    page.wait_for_selector(ANSWER, timeout=120_000)
    answer = page.evaluate("performance.now() / 1000")
    content = page.evaluate(PAINTED)
    page.wait_for_timeout(1000)
    page.close()
    return {"bytes": sum(loaded), "content_s": content, "answer_s": answer}


if __name__ == "__main__":
    main()
