"""The Try tab as a visitor uses it: real libraries on flux-mini, one step where that is enough."""

from __future__ import annotations

import re
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage

FIVE = ("fp32", "bnb-nf4", "torchao-int8wo", "quanto-int8", "gguf-q4_0")
MINE = "five red foxes"
"""No other test of this server has asked for it: nothing is in the store."""
RUN_MS = 120_000
NOTE_FIRST = """() => {
  window.doneAtFirst = null;
  new MutationObserver(() => {
    if (window.doneAtFirst === null && document.querySelector(".ql-thumb img"))
      window.doneAtFirst = document.querySelectorAll(".ql-facts-table tr.is-done").length;
  }).observe(document.body, { childList: true, subtree: true });
}"""
"""Counts the plans that are done when the first image is there."""


def link(*plans: str, steps: int = 1, size: int = 64, prompt: str = "a red fox") -> str:
    """A query that fills the page with a quick comparison."""
    values: dict[str, object] = {
        "v": 1,
        "model": "flux-mini",
        "plans": "~".join(plans),
        "prompt": prompt,
        "seed": 7,
        "steps": steps,
        "width": size,
        "height": size,
    }
    return "?" + "&".join(f"{key}={quote(str(value))}" for key, value in values.items())


def run(page: Page) -> None:
    """Press Run and wait until the page has taken the job in."""
    page.locator("#ql-run").click()
    expect(page.locator("#ql-run")).not_to_have_text("Run")


def wait_until_done(page: Page) -> None:
    """Wait for the end of a run that has begun."""
    expect(page.locator("#ql-run")).to_be_enabled(timeout=RUN_MS)
    expect(page.locator("#ql-run")).to_have_text("Run")


def seats(page: Page) -> Locator:
    """The thumbnails of the strip, one a plan."""
    return page.locator(".ql-thumb")


def rows(page: Page) -> Locator:
    """The rows of figures, one a plan."""
    return page.locator(".ql-facts-table > tbody > tr")


def plans(page: Page) -> list[str]:
    """The plans of the strip."""
    return list(seats(page).evaluate_all("all => all.map(each => each.dataset.plan)"))


def states(page: Page) -> list[str]:
    """The state that each plan is in."""
    return list(rows(page).evaluate_all("all => all.map(each => each.className.slice(3))"))


def test_five_schemes_the_strip_and_the_link(new_page: NewPage) -> None:
    page = new_page(link(*FIVE, prompt=MINE))
    expect(seats(page)).to_have_count(5)
    page.evaluate(NOTE_FIRST)
    run(page)
    expect(page.locator("#ql-stop")).to_be_visible()
    wait_until_done(page)
    assert states(page) == ["done"] * 5
    assert page.evaluate("window.doneAtFirst") == 0, "the first picture waited for figures"
    for index in range(5):
        expect(rows(page).nth(index)).to_contain_text("MiB")
        expect(rows(page).nth(index)).to_contain_text(" s")
    expect(page.locator("#ql-facts")).to_contain_text("measured here")
    expect(rows(page).nth(1)).to_contain_text("dB PSNR")

    seats(page).nth(2).locator("[data-put]").click()
    expect(page.locator("[data-pane='right'] img")).to_have_attribute(
        "alt", "Image of C · torchao-int8wo"
    )
    rows(page).nth(1).get_by_role("button", name="Code").click()
    expect(page.locator("#ql-code pre")).to_contain_text("import", timeout=30_000)
    _link_shows_the_same(new_page, page)


def _link_shows_the_same(new_page: NewPage, page: Page) -> None:
    url = page.get_by_label("Link to this comparison").input_value()
    other = new_page("?" + url.partition("?")[2])
    expect(other.locator("#ql-banner")).to_contain_text("stored")
    expect(other.locator(".ql-thumb img")).to_have_count(5)
    assert states(other) == ["done"] * 5
    expect(other.locator(".ql-origin").first).to_contain_text(re.compile(r"20\d\d-\d\d-\d\d .*UTC"))
    expect(other.locator("#ql-run")).to_have_text("Run")
    assert other.get_by_label("Prompt").input_value() == MINE
    assert other.locator("#ql-seed input").input_value() == "7"
    assert other.locator("#ql-link .ql-link-line").get_attribute("data-url") == url  # on paper
    other.get_by_role("tab", name="Pick", exact=True).click()
    expect(other.locator("#ql-banner .ql-banner")).to_be_hidden()  # it is said of Compare


def test_stop_ends_at_the_next_step(new_page: NewPage) -> None:
    plans = ("fp32", "bnb-nf4", "bnb-fp4", "bnb-nf4-dq", "bnb-int8", "sdnq-int8")
    page = new_page(link(*plans, steps=50, size=256))
    run(page)
    expect(page.locator("#ql-stop")).to_be_visible(timeout=RUN_MS)
    page.locator("#ql-stop").click()
    expect(page.locator("#ql-run")).to_have_text("Run", timeout=RUN_MS)
    expect(rows(page).last).to_have_class("is-stopped", timeout=RUN_MS)
    expect(page.locator("#ql-stop")).to_be_hidden()


def test_a_failure_is_told_with_what_to_use_instead(new_page: NewPage) -> None:
    page = new_page(link("fp32", "torchao-int4wo"))
    run(page)
    wait_until_done(page)
    assert states(page) == ["done", "failed"]
    failed = rows(page).nth(1)
    expect(failed.locator(".ql-failure")).to_contain_text("Refused before loading")
    button = failed.get_by_role("button", name=re.compile("Use .* instead"))
    plan = button.inner_text().removeprefix("Use ").removesuffix(" instead")
    button.click()
    expect(seats(page).nth(1)).to_have_attribute("data-plan", plan)
    assert states(page) == ["done", "idle"]
    expect(page.locator("#ql-changed")).to_contain_text("A plan is not run yet")


def test_a_bad_number_is_told_and_the_page_stays_usable(new_page: NewPage) -> None:
    page = new_page(link("fp32", "bf16"))
    steps = page.locator("#ql-steps input")
    steps.fill("999")
    page.locator("#ql-run").click()
    expect(page.locator("#ql-banner [role='alert']")).to_contain_text("steps")
    expect(page.get_by_label("Link to this comparison")).to_have_value("")
    steps.fill("1")
    run(page)
    expect(page.locator("#ql-banner [role='alert']")).to_have_count(0)
    wait_until_done(page)
    assert states(page) == ["done", "done"]


def test_plans_are_added_changed_behind_their_picture_and_removed(new_page: NewPage) -> None:
    page = new_page()
    page.get_by_role("tab", name="Compare", exact=True).click()
    expect(seats(page)).to_have_count(3)
    page.get_by_role("button", name="Add a plan").click()
    expect(seats(page)).to_have_count(4)
    chooser = page.get_by_role("combobox", name="Text encoder of plan D")
    expect(chooser).to_be_hidden()
    page.get_by_role("button", name="Change plan D").click()
    chooser.click()
    listed = page.locator(f"#{chooser.get_attribute('aria-controls')}")
    listed.get_by_role("option", name=re.compile(r"^torchao-int8wo(?![-\w])")).click()
    expect(seats(page).nth(3)).to_have_attribute(
        "data-plan", "transformer=torchao-int8wo,text_encoder_2=torchao-int8wo"
    )
    expect(page.get_by_label("Link to this comparison")).to_have_value(re.compile("text_encoder_2"))
    page.get_by_role("button", name="Remove the last").click()
    expect(seats(page)).to_have_count(3)


def test_a_change_is_marked_and_can_be_taken_back(new_page: NewPage) -> None:
    page = new_page()
    page.get_by_role("tab", name="Compare", exact=True).click()
    expect(page.locator(".ql-thumb img")).to_have_count(3)  # the gallery's, on a fresh install
    expect(page.locator("#ql-facts")).to_contain_text("recorded for quantlab")
    seed = page.locator("#ql-seed input")
    seed.fill("5")
    expect(page.locator("#ql-changed")).to_contain_text("these are the earlier pictures")
    page.locator("#ql-changed").get_by_role("button", name="Undo").click()
    expect(seed).to_have_value("0")
    expect(page.locator(".ql-changed")).to_have_count(0)


def test_a_broken_link_is_one_message_on_a_usable_page(new_page: NewPage) -> None:
    page = new_page("?v=1&model=flux-mini&plans=fp32~nonsense&prompt=x")
    expect(page.locator("#ql-banner [role='alert']")).to_contain_text("nonsense")
    page.get_by_role("tab", name="Compare", exact=True).click()
    expect(page.locator("#ql-run")).to_be_enabled()
    expect(seats(page)).to_have_count(3)


def test_markup_in_a_prompt_is_text(new_page: NewPage) -> None:
    prompt = "<img src=x onerror=\"document.title='broken'\"> **bold**"
    page = new_page(link("fp32", "bf16", steps=1, prompt=prompt))
    expect(page.get_by_label("Prompt")).to_have_value(prompt)
    assert page.title() == "quantlab"
    assert page.locator("img[src='x']").count() == 0


def test_two_visitors_do_not_see_each_other(new_page: NewPage) -> None:
    plans = ("fp32", "bnb-nf4", "bnb-fp4", "bnb-nf4-dq", "bnb-int8", "sdnq-int8")
    one = new_page(link(*plans, steps=50, size=256, prompt="an owl"))
    two = new_page(link("fp32", "sdnq-int8", steps=1, prompt="a pizza"))
    run(one)
    expect(one.locator("#ql-stop")).to_be_visible(timeout=RUN_MS)
    run(two)
    expect(two.locator("#ql-progress")).to_contain_text("Queued")
    assert states(two) == ["queued", "queued"]
    one.locator("#ql-stop").click()
    wait_until_done(two)
    assert states(two) == ["done", "done"]
    expect(rows(one).last).to_have_class("is-stopped", timeout=RUN_MS)
    assert two.get_by_label("Prompt").input_value() == "a pizza"
