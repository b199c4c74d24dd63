"""The blind test as a visitor takes it, over a real comparison."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.test_compare_view import done

ANSWER = re.compile(r"the (left|right) image is quanto-int2, the (?:left|right) one fp32")


def blind(page: Page) -> None:
    page.get_by_role("tab", name="Blind test").click()


def pair(page: Page) -> None:
    expect(page.locator("#ql-pair img")).to_have_count(2)


def count(page: Page, plan: str) -> int:
    """How often ``plan`` was shown, by the page's own table."""
    row = page.locator(".ql-tallies tbody tr", has=page.get_by_role("rowheader", name=plan))
    if not row.count():
        return 0
    return int(row.locator(".ql-number").inner_text().split()[-1])


def test_a_guess_is_answered_counted_once_and_followed_by_another(new_page: NewPage) -> None:
    page = done(new_page, "fp32", "quanto-int2", prompt="a blue owl")
    blind(page)
    pair(page)
    before = count(page, "quanto-int2")
    expect(page.locator("#ql-next")).to_be_hidden()
    page.locator("#ql-left").dblclick()
    told = page.locator(".ql-verdict-box")
    expect(told).to_contain_text(ANSWER)
    expect(told).to_contain_text("dB PSNR")
    expect(told).to_contain_text("MiB of weights")
    expect(page.locator("#ql-left")).to_be_hidden()
    row = page.locator(".ql-tallies tbody tr", has_text="quanto-int2")
    expect(row).to_contain_text(re.compile(r"\d+% \(\d+% to \d+%\)"))
    expect(page.locator(".ql-tallies")).to_contain_text("chance, 50%")
    assert count(page, "quanto-int2") == before + 1
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download as CSV").click()
    assert '"quanto-int2 flux-mini"' in Path(saved.value.path()).read_text("utf-8")

    page.get_by_role("tab", name="Pick").click()
    blind(page)
    expect(told).to_contain_text(ANSWER)
    assert count(page, "quanto-int2") == before + 1, "coming back is not another guess"

    page.locator("#ql-next").click()
    expect(told).to_have_count(0)
    expect(page.locator("#ql-next")).to_be_hidden()


def test_nothing_tells_the_answer_before_the_guess(new_page: NewPage) -> None:
    page = done(new_page, "fp32", "quanto-int2", prompt="a blue owl")
    sources = page.locator(".ql-thumb img").evaluate_all("all => all.map(i => i.src)")
    answers: list[str] = []
    page.on("response", lambda response: answers.append(response.url))
    blind(page)
    pair(page)
    panel = page.locator(".ql-blind").evaluate("panel => panel.outerHTML")
    plain = re.sub(r"base64,[\w+/=]+", "", panel)
    for word in ("quanto", "int2", "fp32", "verdict", "is-left", "is-right"):
        assert word not in plain
    shown = page.locator("#ql-pair img")
    assert shown.evaluate_all("all => all.map(i => i.alt)") == ["Left image", "Right image"]
    names = shown.evaluate_all("all => all.map(i => i.src)")
    assert all(name.startswith("data:image/png;base64,") for name in names)
    assert not set(names) & set(sources)
    assert not [url for url in answers if "/file=" in url], "an image was fetched by its name"


def test_the_whole_of_it_with_the_keyboard(new_page: NewPage) -> None:
    page = done(new_page, "fp32", "quanto-int2", "bnb-nf4", prompt="a blue owl")
    blind(page)
    pair(page)
    page.locator("#ql-left").focus()
    page.keyboard.press("2")
    expect(page.locator(".ql-verdict-box")).to_be_visible()
    expect(page.locator("#ql-next")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".ql-verdict-box")).to_have_count(0)
    expect(page.locator("#ql-left")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".ql-verdict-box")).to_be_visible()


def test_both_images_zoom_together(new_page: NewPage) -> None:
    page = done(new_page, "fp32", "quanto-int2", prompt="a blue owl")
    blind(page)
    pair(page)
    page.get_by_role("group", name="Left image").focus()
    page.keyboard.press("+")
    found = page.locator("#ql-pair img").evaluate_all(
        "all => all.map(i => getComputedStyle(i).transform)"
    )
    assert found == ["matrix(1.25, 0, 0, 1.25, " + found[0].split("1.25, ")[-1]] * 2


def test_markup_in_the_prompt_is_text(new_page: NewPage) -> None:
    prompt = "<img src=x onerror=\"document.title='broken'\"> owl"
    page = done(new_page, "fp32", "quanto-int2", prompt=prompt)
    blind(page)
    pair(page)
    expect(page.locator("#ql-pair")).to_contain_text(prompt)
    assert page.locator("img[src='x']").count() == 0
    assert page.title() == "quantlab"
