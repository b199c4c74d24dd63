"""A real server (``python app.py``) and a real chromium, each started once for all tests here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_S = 300
"""What server and browser may each take to start, and the server to end."""
PATIENCE_MS = 60_000
"""Nothing here is timed: a slow machine passes as a fast one does."""
expect.set_options(timeout=PATIENCE_MS)

NewPage = Callable[..., Page]
OFF_THE_CUT = """box => {
  const slider = box.querySelector("[data-divide]"), thumb = 40;
  const at = slider.getBoundingClientRect(), around = box.getBoundingClientRect();
  const middle = at.left + thumb / 2 + (at.width - thumb) * slider.value / 100;
  const cut = parseFloat(getComputedStyle(box).getPropertyValue("--cut")) / 100;
  return Math.abs(middle - around.left - around.width * cut);
}"""
"""Pixels between the middle of a divider's thumb and the cut of its pictures."""


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running page whose results go to a temporary folder."""
    port = free_port()
    folder = tmp_path_factory.mktemp("page")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("SPACE", "GRADIO"))},
        "QUANTLAB_DATA": str(folder / "data"),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
    }
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    url = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=START_S)
    assert "Traceback" not in log.read_text(), log.read_text()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the page did not come up:\n{log.read_text()}")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        message = "no chromium is installed"
        if os.environ.get("QUANTLAB_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=list(FLAGS), timeout=START_S * 1000
        )
        yield started
        started.close()


@pytest.fixture
def new_page(browser: Browser, server: str) -> Iterator[NewPage]:
    """Opens the page as a new visitor; at the end nobody may have met an error or another host."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []
    hosts: set[str] = set()

    def open_page(query: str = "", heard: list[str] | None = None, **options: object) -> Page:
        """``heard`` takes what the browser's console says, from the first request on."""
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        if heard is not None:
            page.on("console", lambda message: heard.append(message.text))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(server + query)
        # A link is told about in the banner; without one the table is there.
        linked = query.startswith("?")
        ready = "#ql-banner .ql-banner" if linked else "#ql-answer .ql-lead"
        expect(page.locator(ready)).to_be_visible()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors
    assert hosts <= {urlsplit(server).netloc, ""}
