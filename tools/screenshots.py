"""Pictures of the page: ``python -m tools.screenshots`` for the README, or of every screen.

Starts the page with an empty store. Without arguments saves docs/try.png and docs/pick.png; with
``--all DIR`` every tab at 390, 768, 1280 and 1920 px, light and dark: fresh, and full, that is with
a comparison open and the whole table; at 1280 px also at twice the size, as print, and the stage as
a frame for other pages. Each is printed with its height and whether anything stands out at its
side. Nothing is run: the gallery that ships fills it. Needs chromium and the development
requirements.
"""

from __future__ import annotations

import argparse
import shutil
from itertools import product
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.serving import serving
from quantlab.catalog.paths import PROJECT
from quantlab.record.gallery import contents
from quantlab.record.link import to_query

PLANS = ("torchao-int8wo", "bnb-nf4", "quanto-int2")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDTHS = {390: 844, 768: 1024, 1280: 800, 1920: 1080}
"""Height of the window by its width."""
THERE = {
    "Pick": "#ql-answer .ql-lead",
    "Compare": ".ql-view img",
    "Results": ".ql-group",
    "Blind test": "#ql-pair img",
    "This server": "#ql-kept .ql-group",
}
"""Every tab, and what is to be seen on it."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SETTLED = """() => [...document.images].every((image) => image.complete)
  && document.getAnimations().every((each) => each.playState !== "running")"""


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="DIR", help="every screen, into this folder")
    folder: Path | None = parser.parse_args().all
    with serving() as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        if folder is None:
            _of_readme(browser, served.url)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            for width, scheme, full in product(WIDTHS, SCHEMES, (False, True)):
                page = _opened(browser, served.url, width, scheme, full=full)
                _screens(page, folder, f"{'full' if full else 'fresh'}-{width}-{scheme}", full=full)
            page = _opened(browser, served.url, 640, "light", full=True, scale=2)
            _screens(page, folder, "zoomed-1280-light", full=True)
            page = _opened(browser, served.url, 1280, "light", full=True)
            _screens(page, folder, "print-1280-light", full=True, printed=True)
            page = _opened(browser, served.url, 768, "light", full=True, more="&embed=1")
            _taken(page, folder / "embed-768-light.png")
        browser.close()


def _of_readme(browser: Browser, base: str) -> None:
    page = _opened(browser, base, 1280, "light", full=False)
    page.screenshot(path=PROJECT / "docs" / "pick.png", full_page=True)
    page = _opened(browser, base, 1280, "light", full=True)
    page.screenshot(path=PROJECT / "docs" / "try.png", full_page=True)


def _screens(page: Page, folder: Path, name: str, *, full: bool, printed: bool = False) -> None:
    """Every tab of one visitor, who then leaves; ``printed`` is as it goes to a printer."""
    for tab, there in THERE.items():
        page.emulate_media(media="screen")  # on paper there are no tabs
        page.get_by_role("tab", name=tab, exact=True).click()
        if tab == "Pick" and full:
            page.locator("[data-whole]").click()
            expect(page.locator("#ql-table tbody tr").first).to_be_visible(timeout=60_000)
        expect(page.locator(there).first).to_be_visible(timeout=60_000)
        if printed:
            page.emulate_media(media="print")
        _taken(page, folder / f"{tab.lower().replace(' ', '-')}-{name}.png")
    page.context.close()


def _taken(page: Page, file: Path) -> None:
    page.wait_for_function(SETTLED)
    page.screenshot(path=file, full_page=True)
    high, wide, seen = page.evaluate(
        "[document.documentElement.scrollHeight, document.documentElement.scrollWidth, innerWidth]"
    )
    print(f"{file.name:36}{high:7} px high{f', {wide} wide in {seen}' if wide > seen else ''}")


def _opened(
    browser: Browser,
    base: str,
    width: int,
    scheme: Literal["light", "dark"],
    *,
    full: bool,
    scale: int = 1,
    more: str = "",
) -> Page:
    """The page as a new visitor has it, or opened on a recorded comparison; drawn ``scale`` times
    as large, with ``more`` in its query."""
    context = browser.new_context(
        viewport={"width": width, "height": WIDTHS.get(width, 450)},
        color_scheme=scheme,
        device_scale_factor=scale,
    )
    page = context.new_page()
    first = contents().first
    pairs = [contents().comparison(plan, first.prompt, first.seed) for plan in PLANS]
    plans = (pairs[0].plans[0], *(pair.plans[-1] for pair in pairs))
    query = f"?{to_query(pairs[0].changed(plans=plans))}{more}" if full else ""
    page.goto(base + query)
    there = ".ql-view img >> nth=0" if full else "#ql-answer .ql-lead"
    expect(page.locator(there)).to_be_visible(timeout=60_000)
    page.wait_for_function(SETTLED)
    return page


if __name__ == "__main__":
    main()
