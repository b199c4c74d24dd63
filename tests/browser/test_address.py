"""The page's address says what is on it: loaded anew, gone back from, passed on, it is there."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import NewPage
from tests.browser.test_try_tab import link, plans, run, states, wait_until_done

LONG = ("fp32", "bnb-nf4", "bnb-fp4", "sdnq-int8")
RUNS = re.compile(r"[?&]run=[0-9a-f]{16}")


def test_a_run_is_found_again_when_the_page_is_loaded_anew(new_page: NewPage) -> None:
    page = new_page(link(*LONG, steps=50, size=256, prompt="a red fox in the snow"))
    run(page)
    expect(page).to_have_url(RUNS)
    # Somebody looks on: however long a busy machine takes to load the page, the run goes on.
    other = new_page("?" + page.url.partition("?")[2])
    expect(other.locator("#ql-banner")).to_contain_text("This comparison runs now")
    page.reload()
    expect(page.locator("#ql-banner")).to_contain_text("found again")
    expect(page.locator("#ql-run")).to_be_disabled()
    expect(page.locator("#ql-stop")).to_be_visible()
    assert page.get_by_label("Prompt").input_value() == "a red fox in the snow"
    page.locator("#ql-stop").click()
    wait_until_done(page)
    expect(page).not_to_have_url(RUNS)
    assert states(page)[-1] == "stopped"


def test_who_changes_something_while_the_page_comes_gets_the_link_of_that(
    browser: Browser, server: str
) -> None:
    """What the page was asked for is answered after it, with the link of the page as it was."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        asked = json.loads(route.request.post_data or "{}")
        if not held and names.get(asked.get("fn_index")) == "open_page":
            held.append(route)
        else:
            route.continue_()

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    config = context.request.get(f"{server}config").json()
    names = {each["id"]: each["api_name"] for each in config["dependencies"]}
    page.route("**/gradio_api/run/**", hold)
    page.goto(f"{server}#tab=compare")
    page.locator("#ql-seed input").fill("41")
    expect(page.locator("#ql-link-url")).to_have_value(re.compile("seed=41"))
    assert held
    held[0].continue_()
    expect(page.locator(".ql-view img").first).to_be_visible()  # the page has come, with its link
    expect(page.locator("#ql-link-url")).to_have_value(re.compile("seed=41"))
    expect(page.locator("#ql-changed")).to_contain_text("Changed, not run")
    expect(page).to_have_url(re.compile("seed=41"))
    context.close()


def tab(page: Page) -> str:
    return page.locator('[role="tab"][aria-selected="true"]').first.inner_text()


def test_back_and_forward_go_through_questions_tabs_and_comparisons(new_page: NewPage) -> None:
    page = new_page()
    start = page.url
    page.get_by_role("tab", name="Results", exact=True).click()
    expect(page).to_have_url(re.compile("#tab=results$"))
    page.reload()
    expect(page.get_by_role("tab", name="Results", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    page.get_by_role("tab", name="Compare", exact=True).click()
    expect(page).to_have_url(re.compile("#tab=compare$"))
    expect(page.locator("#ql-link-url")).to_have_value(re.compile("seed=0"))  # the page is here
    page.locator("#ql-seed input").fill("41")
    expect(page).to_have_url(re.compile("seed=41"))
    page.locator("#ql-seed input").fill("42")
    expect(page).to_have_url(re.compile("seed=42"))
    page.reload()
    expect(page.locator("#ql-seed input")).to_have_value("42")
    assert plans(page)[0] == "fp32"
    page.go_back()
    expect(page.locator("#ql-seed input")).to_have_value("0")
    expect(page).to_have_url(re.compile("#tab=compare$"))
    page.go_back()
    expect(page.get_by_role("tab", name="Results", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    page.go_back()
    expect(page.locator("#ql-answer .ql-lead")).to_be_visible()
    assert page.url == start
    page.go_forward()
    page.go_forward()
    page.go_forward()
    expect(page.locator("#ql-seed input")).to_have_value("42")
    assert tab(page) == "Compare"
