"""The first screen as a visitor uses it: the picture, the question, the answer, the whole table."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from quantlab import __version__
from quantlab.catalog.answer.choices import propose
from quantlab.words.plan import without_marks
from tests.browser.conftest import OFF_THE_CUT, NewPage


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


def choose(page: Page, label: str, option: str) -> None:
    """Choose ``option`` in the dropdown called ``label``, by keyboard as well as by mouse."""
    box = page.get_by_role("combobox", name=label)
    box.click()
    page.get_by_role("option", name=option, exact=True).click()


def type_in(page: Page, label: str, text: str) -> None:
    """Type ``text`` into the dropdown called ``label`` as people do."""
    box = page.get_by_role("combobox", name=label)
    box.fill(text)
    box.press("Enter")
    box.press("Tab")


def ask_for(page: Page, card: str, model: str = "FLUX.1-dev") -> None:
    """Type a card and a model."""
    type_in(page, "Your card", card)
    type_in(page, "Model", model)


def asked(page: Page) -> str:
    """Who asks for what, as the answer says it."""
    return page.locator("#ql-answer .ql-asked").inner_text()


def open_table(page: Page) -> None:
    page.get_by_role("button", name="Show every method").click()
    expect(page.locator("#ql-table tbody tr").first).to_be_visible()


def rows(page: Page) -> list[str]:
    """Keys of the rows that are to be seen, in their order."""
    found = page.locator("#ql-table tbody tr:not([hidden])")
    return [str(row.get_attribute("data-key")) for row in found.all()]


def test_it_answers_before_anything_is_asked_and_shows_what_bits_do(page: Page) -> None:
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("for the")
    expect(page.locator("#ql-table tbody tr").first).to_be_hidden()
    right = page.locator(".ql-divided img:visible")
    expect(right).to_have_attribute("alt", re.compile("4 bit"))
    page.get_by_role("button", name="2 bit", exact=True).click()
    expect(right).to_have_attribute("alt", re.compile("2 bit"))
    expect(page.locator(".ql-bits-told:visible")).to_contain_text("quanto-int2 on flux-mini")
    slider = page.get_by_role("slider", name="Divider: 16 bit")
    slider.focus()
    slider.press("End")
    cut = page.locator(".ql-divider").evaluate("e => e.style.getPropertyValue('--cut')")
    assert cut == "100%"
    assert page.locator(".ql-divider").evaluate(OFF_THE_CUT) < 1
    foot = page.locator(".ql-foot")
    for text in (f"quantlab {__version__}", "Docs and source", "API", "MCP"):
        expect(foot).to_contain_text(text)
    expect(foot.get_by_role("link", name="API")).to_have_attribute("href", "gradio_api/info")
    page.get_by_role("button", name="Can you tell which is which?").click()
    expect(page.locator("#ql-pair img")).to_have_count(2)
    assert page.title() == "quantlab"


@pytest.mark.parametrize("typed", ["rtx4090", "RX 7900 xtx", "4060 laptop"])
def test_from_a_card_to_the_copied_script(new_page: NewPage, typed: str) -> None:
    said: list[str] = []
    page = new_page(heard=said, permissions=["clipboard-read", "clipboard-write"])
    before = asked(page)
    ask_for(page, typed, "flux.1 dev")
    expect(page.locator("#ql-answer .ql-asked")).not_to_have_text(before)
    expect(page.locator("#ql-answer .ql-asked")).to_contain_text("FLUX.1-dev")
    expect(page.get_by_role("meter", name="Memory of the device")).to_be_visible()
    expect(page.locator("#ql-answer .ql-badge").first).to_be_visible()
    page.get_by_role("button", name="Copy the script").first.click()
    expect(page.locator(".ql-copied")).to_have_text("Script copied")
    script = str(page.evaluate("navigator.clipboard.readText()"))
    assert "pip install" in script
    assert "FLUX.1-dev" in script
    assert script.rstrip().endswith('image.save("image.png")')
    assert not said, "the browser's console has something to say of the page"


def test_the_link_asks_the_same_and_back_goes_back(new_page: NewPage) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    first = asked(page)
    type_in(page, "Your card", "rtx 4080")
    expect(page.locator("#ql-answer .ql-asked")).to_contain_text("RTX 4080")
    second = asked(page)
    type_in(page, "Model", "FLUX.1-dev")
    expect(page.locator("#ql-answer .ql-asked")).to_contain_text("FLUX.1-dev")
    third = asked(page)
    page.get_by_role("button", name="Link", exact=True).click()
    expect(page.locator(".ql-copied")).to_have_text("Link copied")
    link = str(page.evaluate("navigator.clipboard.readText()"))
    other = new_page("#" + link.partition("#")[2])
    expect(other.locator("#ql-answer .ql-asked")).to_have_text(third)
    expect(other.get_by_role("combobox", name="Your card")).to_have_value(re.compile("4080"))
    page.reload()
    expect(page.locator("#ql-answer .ql-asked")).to_have_text(third)
    page.go_back()
    expect(page.locator("#ql-answer .ql-asked")).to_have_text(second)
    page.go_back()
    expect(page.locator("#ql-answer .ql-asked")).to_have_text(first)
    page.go_forward()
    expect(page.locator("#ql-answer .ql-asked")).to_have_text(second)


def test_a_card_that_nobody_knows_is_one_sentence_with_the_nearest(page: Page) -> None:
    box = page.get_by_role("combobox", name="Your card")
    box.fill("radeon 9999")
    box.press("Enter")
    expect(page.locator("#ql-answer [role='alert']")).to_contain_text("is not listed")
    box.fill("4070 ti")
    box.press("Enter")
    expect(page.locator("#ql-answer .ql-asked")).to_contain_text("RTX 4070 Ti")


def test_who_tabs_on_fast_leaves_no_list_open(page: Page) -> None:
    page.get_by_role("combobox", name="Your card").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    script = page.get_by_role("button", name="Copy the script").first
    script.focus()
    expect(page.get_by_role("listbox")).to_have_count(0)
    expect(script).to_be_focused()
    expect(page.locator("#ql-answer .ql-lead")).to_be_visible()


def test_the_answer_is_what_propose_says(page: Page) -> None:
    ask_for(page, "rtx-3060-12gb")
    choose(page, "Host memory", "64 GB")
    expect(page.locator("#ql-answer .ql-asked")).to_contain_text("64 GB of host memory")
    [first, *others] = propose(model="flux1-dev", gpu="rtx-3060-12gb", ram_gib=64).choices
    answer = page.locator("#ql-answer")
    expect(answer).to_contain_text(f"{first.peak_bytes / 2**30:.1f} of 11.8 GiB")
    expect(answer).to_contain_text(first.placement.replace("-", " "))
    expect(answer.locator(".ql-others li")).to_have_count(len(others))
    memory = page.get_by_role("combobox", name="Memory", exact=True)
    expect(memory).to_have_value("11.8 GiB")
    expect(memory).to_be_disabled()
    page.get_by_text("How these are chosen").click()
    expect(page.get_by_text("no other beats in memory, time and loss")).to_be_visible()
    page.get_by_role("button", name="Try these side by side").click()
    uncompiled, _ = without_marks(first.plan)  # a CPU compiles for longer than it draws
    expect(page.locator(".ql-thumb").nth(1)).to_have_attribute("data-plan", uncompiled)


def test_hardware_without_a_card_asks_for_its_memory(page: Page) -> None:
    choose(page, "Your card", "AMD GPU")
    memory = page.get_by_role("combobox", name="Memory", exact=True)
    expect(memory).to_be_enabled()
    memory.fill("plenty")
    memory.press("Enter")
    expect(page.locator("#ql-answer [role='alert']")).to_contain_text("memory")
    memory.fill("24 GB")
    memory.press("Enter")
    expect(page.locator("#ql-answer .ql-asked")).to_contain_text("On an AMD GPU with 24 GB")


def test_the_whole_table_opens_searches_sorts_and_names_its_sources(page: Page) -> None:
    open_table(page)
    words = set(page.locator("#ql-table .ql-pill").all_inner_texts())
    assert any("runs" in word for word in words)
    assert any(word.endswith("no") for word in words)
    page.get_by_label("Search").first.fill("gguf")
    assert rows(page)
    assert all("gguf" in key for key in rows(page))
    expect(page.locator(".ql-found").first).to_have_text(re.compile(r"\d+ of \d+"))
    page.get_by_label("Search").first.fill("")
    page.get_by_role("button", name="Scheme").click()
    assert rows(page) == sorted(rows(page))
    head = page.get_by_role("columnheader", name="Scheme")
    expect(head).to_have_attribute("aria-sort", "ascending")
    cpu = page.locator("#ql-table tr[data-key='bnb-nf4'] [data-column='cpu']")
    expect(cpu).to_be_hidden()  # it is not what was asked about
    page.get_by_role("button", name="All columns").click()
    cpu.click()
    sheet = page.get_by_role("dialog")
    expect(sheet.locator(".is-asked")).to_contain_text("checked 20")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()


def test_needs_and_bits_narrow_it(page: Page) -> None:
    open_table(page)
    choose(page, "Bits", "4")
    choose(page, "It must have", "LoRA / PEFT")
    expect(page.locator("#ql-answer .ql-asked")).to_contain_text("4 bit, LoRA / PEFT")
    assert "bnb-nf4" in rows(page)


def test_one_click_takes_a_scheme_to_compare(page: Page) -> None:
    open_table(page)
    page.get_by_role("button", name="Try sdnq-int8", exact=True).click()
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".ql-thumb[data-plan=sdnq-int8]")).to_be_visible()
    expect(page.locator("#ql-banner")).to_contain_text("are seen on flux-mini")
    assert page.evaluate("scrollY") == 0, "the end of Compare is seen first"
    expect(page).to_have_url(re.compile("plans=.*sdnq-int8"))
    page.go_back()  # once: it is one step, though it changes tab and comparison
    expect(page.get_by_role("tab", name="Pick")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize(("width", "height", "most"), [(390, 844, 6000), (1280, 800, 4000)])
def test_the_first_screen_is_short(new_page: NewPage, width: int, height: int, most: int) -> None:
    page = new_page()
    page.set_viewport_size({"width": width, "height": height})
    ask_for(page, "rtx-3060-12gb")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.scrollHeight") <= most
    button = page.get_by_role("button", name="Copy the script").first.bounding_box()
    assert button is not None
    assert button["y"] + button["height"] < 2 * height
    lead = page.locator("#ql-answer h2.ql-lead").bounding_box()
    assert lead is not None
    assert lead["height"] <= 110, "more than a line that is large and three that are not"
    if width < 900:  # there each row of the table is a card, and the first few are shown
        open_table(page)
        assert page.evaluate("document.documentElement.scrollHeight") <= most
        every = page.locator("#ql-table tbody tr")
        page.get_by_role("button", name=f"Show all {every.count()} rows").click()
        expect(every.last).to_be_visible()
        expect(every.nth(12).locator(".ql-name")).to_be_focused()
