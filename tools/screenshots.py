"""Pictures of the page for the README: ``python -m tools.screenshots``.

Starts the page with an empty store, opens a comparison from its link, runs it, and saves
docs/try.png and docs/pick.png. Needs chromium and the development requirements.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from playwright.sync_api import Browser, expect, sync_playwright

from quantlab.catalog.paths import PROJECT
from quantlab.lab.plan import make_comparison
from quantlab.record.link import to_url

PLANS = ("fp32", "torchao-int8wo", "bnb-nf4", "quanto-int2")
PROMPT = "a fox on a blue background"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SIZE = {"width": 1280, "height": 900}
RUN_MS = 300_000


def main() -> None:
    """Take the pictures."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        environment = os.environ | {"QUANTLAB_DATA": folder, "GRADIO_SERVER_PORT": str(port)}
        server = subprocess.Popen([sys.executable, "app.py"], cwd=PROJECT, env=environment)
        try:
            base = f"http://127.0.0.1:{port}/"
            _wait_for(base)
            with sync_playwright() as playwright:
                path = shutil.which("chromium")
                browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
                _pick(browser, base)
                _try(browser, base)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the page did not come up")


def _pick(browser: Browser, base: str) -> None:
    page = browser.new_page(viewport=SIZE)
    page.goto(base)
    expect(page.locator("#ql-table tbody tr:first-child")).to_be_visible(timeout=30_000)
    page.screenshot(path=PROJECT / "docs" / "pick.png")


def _try(browser: Browser, base: str) -> None:
    page = browser.new_page(viewport=SIZE)
    page.goto(to_url(base, make_comparison(plans=PLANS, prompt=PROMPT)))
    expect(page.locator("#ql-banner .ql-banner")).to_be_visible(timeout=30_000)
    for _ in range(2):  # the second time without what the first run had to load
        page.locator("#ql-run").click()
        expect(page.locator("#ql-run")).not_to_have_text("Run")
        expect(page.locator("#ql-run")).to_have_text("Run", timeout=RUN_MS)
    page.screenshot(path=PROJECT / "docs" / "try.png", full_page=True)


if __name__ == "__main__":
    main()
