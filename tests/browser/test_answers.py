"""The Pick tab's answer as a browser asks for it: in order, and told where nobody answers."""

from __future__ import annotations

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import NewPage


def choose(page: Page, bits: str) -> None:
    page.get_by_role("combobox", name="Bits").click()
    page.get_by_role("option", name=bits, exact=True).click()


def test_answers_come_in_order_and_a_silent_server_is_told(new_page: NewPage) -> None:
    page, answer, held = new_page(), "#ql-answer", list[Route]()
    page.locator("[data-whole]").click()
    page.route("**/answers/**", lambda route: held.append(route))
    with page.expect_request("**/answers/**"):
        choose(page, "4")
    while not held:
        page.wait_for_timeout(10)
    page.route("**/answers/**", lambda route: route.continue_())
    choose(page, "8")
    expect(page.locator(answer)).to_contain_text("8 bit")
    with page.expect_response("**/answers/**"):  # to the question before
        held[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator(answer)).to_contain_text("8 bit")

    page.route("**/answers/**", lambda route: route.abort())
    choose(page, "2")
    expect(page.locator(answer).get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/answers/**")
    choose(page, "8")
    expect(page.locator(answer)).to_contain_text("8 bit")
