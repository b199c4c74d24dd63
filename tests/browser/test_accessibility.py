"""Habits: axe-core on every tab, the main path by keyboard alone, one host only.

That no other host is asked for anything is held by ``new_page`` for every test with a browser.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from gradio_client import Client
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage
from tests.browser.test_try_tab import states, wait_until_done

Scheme = Literal["light", "dark"]
PROMPT = "a pizza on a grey background"
MOST_TABS = 250
THERE = {
    "Pick": "#ql-answer .ql-lead",
    "Compare": ".ql-thumb img",
    "Results": ".ql-group",
    "Blind test": "#ql-pair img",
    "This server": "#ql-kept .ql-group",
}
"""Every tab, and what is to be seen on it when it is filled."""
RULES: dict[Scheme, dict[str, Any]] = {
    "light": {},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}},
}
"""What is held in each; all but the colours is the same in both."""
STILL = "document.getAnimations().every((each) => each.playState !== 'running')"
SMALL = """() => [...document.querySelectorAll("a, button, select, summary, input, textarea")]
  .map((each) => [each, (each.closest("label, .wrap") ?? each).getBoundingClientRect()])
  .filter(([each, at]) => each.checkVisibility({visibilityProperty: true}) && at.width && at.height)
  .filter(([, at]) => at.width < 23.5 || at.height < 23.5)
  .map(([each, at]) => `${each.outerHTML.slice(0, 120)} (${at.width} x ${at.height})`)"""
"""What one presses or types into that a finger would miss: less than 24 px (WCAG 2.5.8)."""
FOCUSED = """() => {
  const element = document.activeElement;
  const at = element.getBoundingClientRect();
  const marked = [element, element.parentElement, element.parentElement?.parentElement]
    .filter(Boolean).map((each) => getComputedStyle(each))
    .some((style) => (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)
      || style.boxShadow !== "none");
  return {tag: element.tagName, name: element.id, seen: at.width > 0 && at.height > 0, marked};
}"""


@pytest.fixture(scope="module")
def measured(server: str) -> str:
    """A link to a stored comparison: two that ran and one that failed."""
    client = Client(server, verbose=False, analytics_enabled=False, download_files=False)
    plans = ["fp32", "bnb-nf4", "torchao-fp8dq"]
    found = client.predict(
        plans=plans, prompt=PROMPT, seed=7, steps=1, width=64, height=64, api_name="/compare"
    )
    client.close()
    return "?" + str(found["link"]).partition("?")[2]


def findings(page: Page, only: dict[str, Any]) -> list[str]:
    """Serious and critical findings of axe-core, with where they are."""
    options = {"resultTypes": ["violations"], **only}
    results: dict[str, Any] = Axe().run(page, options=options).response
    return [
        f"{found['id']}: {node['html'][:200]} {node['failureSummary'][:200]}"
        for found in results["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def test_no_tab_has_a_serious_finding(new_page: NewPage, measured: str) -> None:
    """In light and in dark, to which an open page turns with the system."""
    page = new_page(measured, color_scheme="light", reduced_motion="reduce")
    expect(page.locator(".ql-failure")).to_have_count(1)
    assert page.get_by_role("tab").all_inner_texts() == list(THERE)
    found: list[str] = []
    for name, there in THERE.items():
        page.set_viewport_size({"width": 1280, "height": 900})  # narrow, some are in a menu
        page.get_by_role("tab", name=name, exact=True).click()
        expect(page.locator(there).first).to_be_visible()
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            expect(page.get_by_role("tabpanel").filter(visible=True)).to_have_count(1)
            for scheme, rules in RULES.items():
                page.emulate_media(color_scheme=scheme)
                expect(page.locator("body.dark")).to_have_count(int(scheme == "dark"))
                page.wait_for_function(STILL)
                where = f"{name}, {width} px, {scheme}"
                found += [f"{where}: {each}" for each in findings(page, rules)]
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} px wide on {width} px"
            found += [f"{name}, {width} px: {each} is small" for each in page.evaluate(SMALL)]
    assert not found, "\n".join(found)


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until ``target`` has the focus, which must be to be seen all the way."""
    expect(target).to_be_visible()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            assert page.evaluate(FOCUSED)["seen"]
            assert page.evaluate(FOCUSED)["marked"], f"the focus on {target} is not to be seen"
            return
    pytest.fail(f"Tab does not reach {target}")


def test_the_main_path_needs_no_mouse(new_page: NewPage) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    lead = page.locator("#ql-answer .ql-lead")
    before = lead.inner_text()

    tab_to(page, page.get_by_role("combobox", name="Your card"))
    page.keyboard.type("rtx 4090 24")
    page.keyboard.press("Enter")
    expect(page.locator("#ql-answer .ql-asked")).to_contain_text("RTX 4090")
    expect(lead).not_to_have_text(before)
    tab_to(page, page.locator("#ql-answer [data-script]").first)
    page.keyboard.press("Enter")
    expect(page.locator(".ql-copied")).to_have_text("Script copied")
    tab_to(page, page.locator("[data-whole]"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("combobox", name="It must have"))
    page.keyboard.type("LoRA")
    page.keyboard.press("Enter")
    expect(page.locator("#ql-answer .ql-asked")).to_contain_text("LoRA / PEFT")
    tab_to(page, page.get_by_label("Search").first)
    page.keyboard.type("bnb-nf4")
    tab_to(page, page.locator("[data-try='bnb-nf4']").last)
    page.keyboard.press("Enter")

    expect(page.locator(".ql-thumb").last).to_be_visible()
    link = page.get_by_label("Link to this comparison")
    expect(link).to_have_value(re.compile("bnb-nf4"))
    steps = page.locator("#ql-steps input")
    tab_to(page, steps)
    page.keyboard.press("Control+A")
    page.keyboard.type("1")
    expect(steps).to_have_value("1")
    expect(link).to_have_value(re.compile("steps=1&"))
    _back_to(page, page.locator("#ql-run"))
    page.keyboard.press("Enter")
    expect(page.locator("#ql-run")).not_to_have_text("Run")
    wait_until_done(page)
    assert "done" in states(page)

    tab_to(page, page.locator("#ql-link [data-copy]"))
    page.keyboard.press("Enter")
    expect(page.locator("#ql-link [role=status]")).to_have_text("Copied")
    copied = str(page.evaluate("navigator.clipboard.readText()"))
    assert re.search(r"\?v=1&model=flux-mini&plans=.*steps=1", copied)
    other = new_page("?" + copied.partition("?")[2])
    expect(other.locator(".ql-thumb img").first).to_be_visible()


def _back_to(page: Page, target: Locator) -> None:
    for _ in range(MOST_TABS):
        page.keyboard.press("Shift+Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"Shift+Tab does not reach {target}")


def test_arrow_keys_turn_from_tab_to_tab(new_page: NewPage) -> None:
    page = new_page()
    tab_to(page, page.get_by_role("tab", name="Pick"))
    for name in page.get_by_role("tab").all_inner_texts()[1:]:
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute(
            "aria-selected", "true"
        )
