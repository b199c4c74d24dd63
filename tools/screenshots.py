"""Pictures of the page for the README: ``python -m tools.screenshots``.

Starts the page with an empty store, opens a comparison from its link, runs it, and saves
docs/try.png and docs/pick.png. Needs chromium and the development requirements.
"""

from __future__ import annotations

import shutil

from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

from benchmarks.serving import serving
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.record.link import to_url

PLANS = ("fp32", "torchao-int8wo", "bnb-nf4", "quanto-int2")
PROMPT = "a fox on a blue background"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SIZE: ViewportSize = {"width": 1280, "height": 900}
RUN_MS = 300_000


def main() -> None:
    """Take the pictures."""
    with serving() as served, sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        _pick(browser, served.url)
        _try(browser, served.url)
        browser.close()


def _pick(browser: Browser, base: str) -> None:
    page = browser.new_page(viewport=SIZE)
    page.goto(base)
    expect(page.locator("#ql-answer .ql-lead")).to_be_visible(timeout=30_000)
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
