"""The Pick tab as a visitor uses it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from quantlab.catalog.answer.choices import propose
from tests.browser.conftest import NewPage


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


def choose(page: Page, label: str, option: str) -> None:
    """Choose ``option`` in the dropdown called ``label``, by keyboard as well as by mouse."""
    box = page.get_by_role("combobox", name=label)
    box.click()
    page.get_by_role("option", name=option, exact=True).click()


def rows(page: Page) -> list[str]:
    """Keys of the rows that are to be seen, in their order."""
    found = page.locator("#ql-table tbody tr:not([hidden])")
    return [str(row.get_attribute("data-key")) for row in found.all()]


def test_first_screen_answers_before_anything_is_asked(page: Page) -> None:
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("schemes run")
    assert "bnb-nf4" in rows(page)
    assert page.title() == "quantlab"


def test_every_verdict_has_its_word_and_the_rejected_stay(page: Page) -> None:
    words = set(page.locator("#ql-table .ql-pill").all_inner_texts())
    assert any("runs" in word for word in words)
    assert any(word.endswith("no") for word in words)
    rejected = page.locator("#ql-table tr", has=page.locator(".ql-pill.is-no")).first
    expect(rejected.locator(".ql-why li").first).not_to_be_empty()


def test_hardware_and_needs_change_the_answer(page: Page) -> None:
    lead = page.locator("#ql-answer .ql-lead")
    before = lead.inner_text()
    choose(page, "Hardware", "Apple silicon")
    expect(lead).to_contain_text("On Apple silicon")
    assert lead.inner_text() != before
    choose(page, "It must have", "LoRA / PEFT")
    expect(lead).to_contain_text("LoRA / PEFT")
    assert "bnb-nf4" in rows(page)


def test_four_bits_find_hqq(page: Page) -> None:
    choose(page, "Hardware", "NVIDIA GPU")
    choose(page, "Bits", "4")
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("4 bit")
    row = page.locator("#ql-table tr[data-key='hqq-int4']")
    expect(row).to_have_count(1)


def test_search_and_sort(page: Page) -> None:
    page.get_by_label("Search").fill("gguf")
    assert rows(page)
    assert all("gguf" in key for key in rows(page))
    expect(page.locator(".ql-found")).to_have_text(re.compile(r"\d+ of \d+"))
    page.get_by_label("Search").fill("")
    page.get_by_role("button", name="Scheme").click()
    assert rows(page) == sorted(rows(page))
    page.get_by_role("button", name="Scheme").click()
    assert rows(page) == sorted(rows(page), reverse=True)
    head = page.get_by_role("columnheader", name="Scheme")
    assert head.get_attribute("aria-sort") == "descending"


def test_a_mark_reveals_its_source(page: Page) -> None:
    row = page.locator("#ql-table tr[data-key='bnb-nf4']")
    row.locator("[data-column='cpu']").click()
    sheet = page.get_by_role("dialog")
    expect(sheet.get_by_role("heading", name="bnb-nf4")).to_be_visible()
    asked = sheet.locator(".is-asked")
    expect(asked).to_contain_text("CPU")
    expect(asked).to_contain_text("checked 20")
    assert str(asked.get_by_role("link").first.get_attribute("href")).startswith("https://")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()


def test_one_click_takes_a_scheme_to_try(page: Page) -> None:
    page.get_by_role("button", name="Try sdnq-int8", exact=True).click()
    expect(page.get_by_role("tab", name="Try")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".ql-column h2", has_text="sdnq-int8")).to_be_visible()


def test_the_answer_goes_to_try_as_a_whole(page: Page) -> None:
    named = page.locator("#ql-answer .ql-picks .ql-name").all_inner_texts()
    page.get_by_role("button", name="Try these side by side").click()
    heads = page.locator(".ql-column h2")
    expect(heads).to_have_count(len(named) + 1)
    assert heads.all_inner_texts() == ["fp32", *named]


def ask_for_a_12_gb_card(page: Page) -> None:
    choose(page, "Hardware", "NVIDIA GeForce RTX 3060 12 GB, 11.8 GiB")
    choose(page, "Model", "FLUX.1-dev")
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("RTX 3060 12 GB, FLUX.1-dev: ")


def test_typing_finds_a_card(page: Page) -> None:
    page.get_by_role("combobox", name="Hardware or card").click()
    page.keyboard.type("12 gb", delay=50)  # over what was chosen before
    options = page.get_by_role("option")
    expect(options.filter(has_text="24 GB")).to_have_count(0)
    options.filter(has_text="RTX 3060").click()
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("RTX 3060 12 GB")


def test_on_my_card_says_what_to_load_and_where_it_is_kept(page: Page) -> None:
    ask_for_a_12_gb_card(page)
    [first, *_] = found = propose(model="flux1-dev", gpu="rtx-3060-12gb").choices
    lead = page.locator("#ql-answer .ql-lead")
    expect(lead).to_contain_text(f"{first.peak_bytes / 2**30:.1f} of 11.8 GiB")
    expect(lead).to_contain_text(f"with {first.placement.replace('-', ' ')}")
    expect(lead).to_contain_text("an image in about ")
    plans = page.locator("#ql-answer .ql-picks li")
    expect(plans).to_have_count(len(found))
    expect(plans.first).to_contain_text("Fastest")
    expect(plans.first).to_contain_text("of host memory")
    expect(plans.first.get_by_label("memory of the device")).to_be_visible()
    memory = page.get_by_role("combobox", name="Memory")
    expect(memory).to_have_value("11.8 GiB")
    expect(memory).to_be_disabled()
    verdict = page.locator("#ql-table tr[data-key='torchao-int8wo'] .ql-pill")
    expect(verdict).to_contain_text("runs with group offload")
    page.get_by_text("How these are chosen").click()
    expect(page.get_by_text("no other beats in memory, time and loss")).to_be_visible()


def test_what_is_proposed_for_a_card_goes_to_try(page: Page) -> None:
    ask_for_a_12_gb_card(page)
    plans = [choice.plan for choice in propose(model="flux1-dev", gpu="rtx-3060-12gb").choices]
    page.get_by_role("button", name="Try these side by side").click()
    heads = page.locator(".ql-column h2")
    expect(heads.nth(1)).to_have_text(plans[0])


def test_another_hardware_gives_the_choice_of_memory_back(page: Page) -> None:
    ask_for_a_12_gb_card(page)
    choose(page, "Hardware", "AMD GPU")
    memory = page.get_by_role("combobox", name="Memory")
    expect(memory).to_be_enabled()
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("schemes run")
    choose(page, "Memory", "24 GB")
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("On an AMD GPU with 24 GB")


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_first_screen_fits_its_window(new_page: NewPage, width: int) -> None:
    page = new_page()
    page.set_viewport_size({"width": width, "height": 900})
    ask_for_a_12_gb_card(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    answer = page.locator("#ql-answer .ql-lead").bounding_box()
    assert answer is not None
    assert answer["y"] + answer["height"] < 900


def test_memory_that_is_no_number_is_told_in_one_sentence(page: Page) -> None:
    box = page.get_by_role("combobox", name="Memory")
    box.fill("plenty")
    box.press("Enter")
    expect(page.locator("#ql-answer [role='alert']")).to_contain_text("memory")
    box.fill("12")
    box.press("Enter")
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("12 GB")


def test_the_browser_keeps_what_was_asked(page: Page) -> None:
    choose(page, "Hardware", "AMD GPU")
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("AMD")
    page.reload()
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("AMD")
    expect(page.get_by_role("combobox", name="Hardware")).to_have_value("AMD GPU")


def test_the_browser_keeps_the_card(page: Page) -> None:
    ask_for_a_12_gb_card(page)
    page.reload()
    expect(page.locator("#ql-answer .ql-lead")).to_contain_text("RTX 3060 12 GB, FLUX.1-dev: ")
    expect(page.get_by_role("combobox", name="Memory")).to_have_value("11.8 GiB")
