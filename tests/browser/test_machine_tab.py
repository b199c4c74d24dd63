"""The tab "This server": a real probe of one scheme, kept, reused and stopped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage

PROBE_MS = 240_000
CHOSEN = ("load", "simple form")


def open_tab(new_page: NewPage, **options: object) -> Page:
    page = new_page(**options)
    page.get_by_role("tab", name="This server").click()
    expect(page.locator("#ql-machine .ql-facts")).to_be_visible(timeout=60_000)
    return page


def choose(page: Page, scheme: str, names: tuple[str, ...]) -> None:
    """One scheme, and only these capabilities."""
    page.get_by_label("Schemes").click()
    page.get_by_role("option", name=scheme, exact=True).click()
    page.keyboard.press("Escape")
    for box in page.locator(".ql-needs").last.get_by_role("checkbox").all():
        box.set_checked(False)
    for name in names:
        page.get_by_role("checkbox", name=re.compile(f"^{name}")).check()


def probe(page: Page) -> None:
    page.locator("#ql-probe").click()
    expect(page.locator("#ql-probe")).to_have_text("Probing")


def wait_until_done(page: Page) -> None:
    expect(page.locator("#ql-probe")).to_have_text("Probe", timeout=PROBE_MS)


def test_a_probe_shows_documented_beside_measured_and_is_reused(new_page: NewPage) -> None:
    page = open_tab(new_page)
    expect(page.locator("#ql-machine")).to_contain_text("torch")
    expect(page.locator("#ql-machine")).to_contain_text("GiB")
    choose(page, "torchao-int8wo", CHOSEN)
    probe(page)
    expect(page.locator("#ql-probe-stop")).to_be_visible(timeout=PROBE_MS)
    wait_until_done(page)
    expect(page.locator("#ql-probe-stop")).to_be_hidden()
    expect(page.locator("#ql-probe-progress")).to_contain_text("2 of 2 cells. Done.")
    results = page.locator("#ql-probe-results")
    scheme = results.locator("details", has_text="torchao-int8wo")
    scheme.locator("summary").click()
    rows = scheme.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text(re.compile(r"load.*yes.*yes.*MiB stored.*of 420 s", re.S))
    expect(rows.nth(1)).to_contain_text(re.compile(r"simple form.*no.*no", re.S))

    page.locator("#ql-probe").click()  # done in an instant: nothing is measured
    expect(page.locator("#ql-probe-progress")).to_contain_text("2 of 2 cells reused")

    other = open_tab(new_page)
    expect(other.locator("#ql-probe-results")).to_contain_text("torchao-int8wo", timeout=60_000)


def test_stop_ends_a_probe_and_the_next_one_may_begin(new_page: NewPage) -> None:
    page = open_tab(new_page)
    choose(page, "quanto-int8", ("load", "make an image", "train a LoRA"))
    probe(page)
    expect(page.locator("#ql-probe-stop")).to_be_visible(timeout=PROBE_MS)
    page.locator("#ql-probe-stop").click()
    wait_until_done(page)
    expect(page.locator("#ql-probe-progress")).to_contain_text("Stopped; what was measured is kept")
    page.locator("#ql-probe").click()
    expect(page.locator("#ql-probe-stop")).to_be_visible(timeout=PROBE_MS)
    page.locator("#ql-probe-stop").click()
    wait_until_done(page)


def test_without_a_capability_a_sentence_says_so(new_page: NewPage) -> None:
    page = open_tab(new_page)
    for box in page.locator(".ql-needs").last.get_by_role("checkbox").all():
        box.set_checked(False)
    page.locator("#ql-probe").click()
    expect(page.get_by_role("alert")).to_have_text("Choose at least one capability.")
    expect(page.locator("#ql-probe")).to_have_text("Probe")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_kept_probe_is_readable_at_any_width(new_page: NewPage, scheme: str) -> None:
    page = open_tab(new_page, color_scheme=scheme)
    kept = page.locator("#ql-kept")
    first = kept.locator(".ql-group").first
    listed = first.locator("summary.ql-part").first
    summary = first.locator("summary", has_text="torchao-int8wo").first
    with page.expect_download() as saved:  # with what is folded away
        first.locator("[data-save-table]").click()
    assert '"bnb-nf4","save and reload"' in Path(saved.value.path()).read_text("utf-8")
    for width, most in ((390, 6000), (1280, 4000)):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollHeight") <= most
        expect(kept).to_contain_text("Probes kept with the project")
        expect(kept).to_contain_text(
            re.compile(r"measured on 20\d\d-\d\d-\d\d.*With .*torch \d", re.S)
        )
        expect(
            kept.locator("tr", has_text=re.compile(r"bnb-nf4\s*save and reload")).first
        ).to_be_visible()
        listed.focus()
        page.keyboard.press("Enter")
        summary.focus()
        page.keyboard.press("Enter")
        expect(first.locator(".ql-scheme[open] tbody tr").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.keyboard.press("Enter")
        expect(summary.locator("..")).to_have_js_property("open", False)
        listed.press("Enter")


def test_the_sheet_of_a_scheme_has_what_was_measured_and_a_language_model_s_script(
    new_page: NewPage,
) -> None:
    page = new_page()
    page.get_by_role("button", name="Show every method").click()
    sheet = page.locator("#ql-table .ql-sheet")
    page.locator("#ql-table [data-claims=bnb-nf4]").click()
    expect(sheet).to_contain_text("Measured")
    expect(sheet).to_contain_text("MiB stored")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert sheet.evaluate("e => e.scrollWidth <= e.clientWidth"), "text stands out of it"
    page.set_viewport_size({"width": 1280, "height": 844})
    sheet.get_by_role("button", name="Close").click()
    page.locator("#ql-table [data-claims=hqq-int4]").click()
    sheet.get_by_text("Code: a language model").click()
    script = sheet.get_by_role("region", name="Code: a language model with HQQ int4")
    expect(script).to_contain_text("transformers.HqqConfig(nbits=4, group_size=64)")
