"""The Results tab as a visitor uses it: a store with results of three plans, real files out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from quantlab.catalog.comparison import make_comparison
from quantlab.record.store.store import Store
from quantlab.words.outcome import Failure, Outcome
from tests.measured_plans import DEVICE, MIB, VERSIONS, outcome
from tests.served_page import Counting, served

EVIL = "<img src=x onerror=\"document.title='broken'\"> **bold**"
PLANS = ("fp32", "bnb-nf4", "sdnq-int8")
WORSE = {"sdnq-int8": {"psnr_db": 20.0}}
"""Than bnb-nf4 in all three and in both pictures, so that it is not on the front."""


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (level, 90, 40)).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page over a store with two comparisons, one of which has a plan that failed."""
    folder = tmp_path_factory.mktemp("results")
    store = Store(folder / "data")
    for prompt, plans in ((EVIL, [*PLANS, "torchao-int4wo"]), ("an owl", PLANS)):
        comparison = make_comparison(plans=plans, prompt=prompt, seed=7)
        for index, plan in enumerate(plans):
            error = Failure("check", "Unavailable", f"needs a GPU {EVIL}")
            failed = Outcome(plan, "failed", error=error)
            made = outcome(plan, **WORSE.get(plan, {})) if plan in PLANS else failed
            image = png(20 * index) if plan in PLANS else None
            store.save(comparison, index, made, image, DEVICE, VERSIONS)
    with served(Counting(), folder) as (url, _):
        yield url


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    shown = context.new_page()
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.goto(address)
    shown.get_by_role("tab", name="Results").click()
    expect(shown.locator(".ql-group").first).to_be_visible()
    yield shown
    assert shown.title() == "quantlab"
    assert shown.locator("img[src='x']").count() == 0
    context.close()
    assert not errors


def plans(page: Page) -> list[str]:
    """Plans of the first group, in their order."""
    found = page.locator(".ql-group").first.locator("tbody tr")
    return [str(row.get_attribute("data-plan")) for row in found.all()]


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).last.click()
    page.get_by_role("option", name=option, exact=True).click()


def test_groups_never_mix_and_the_front_is_marked_by_shape_and_word(page: Page) -> None:
    first = page.locator(".ql-group").first
    expect(first.locator("summary")).to_contain_text("a laptop")
    expect(first.locator("summary")).to_contain_text("measured")
    expect(page.locator(".ql-group")).to_have_count(5)  # the project's sweep, 3 published
    row = first.locator("tr[data-plan='bnb-nf4']")
    expect(row).to_contain_text("◆ front")
    expect(row).to_contain_text("24.0 dB")
    expect(row).to_contain_text("40.0 MiB")
    expect(first.locator("tr[data-plan='sdnq-int8']")).not_to_contain_text("front")
    plot = first.locator("svg.ql-plot").first
    expect(plot.locator("polygon.ql-front")).to_have_count(2)
    expect(plot.locator("circle.ql-other")).to_have_count(1)
    expect(plot).to_contain_text("bnb-nf4")
    failed = first.locator("tr[data-plan='torchao-int4wo']")
    expect(failed).to_contain_text("needs a GPU <img src=x")

    many = page.locator(".ql-group").nth(1)  # the project's sweep
    many.locator("summary").click()
    page.set_viewport_size({"width": 390, "height": 844})
    rows, count = many.locator("tbody tr"), many.locator("tbody tr").count()
    assert rows.filter(visible=True).count() == 8 < count
    many.get_by_role("button", name=f"Show all {count} plans").click()
    expect(rows.filter(visible=True)).to_have_count(count)


def test_filter_by_words_evidence_and_nothing(page: Page) -> None:
    page.get_by_label("Search").last.fill("owl nf4")
    expect(page.locator(".ql-group")).to_have_count(1)
    assert plans(page) == ["bnb-nf4"]
    page.get_by_label("Search").last.fill("no such thing")
    expect(page.locator("#ql-results .ql-hint")).to_contain_text("Nothing recorded fits")
    page.get_by_label("Search").last.fill("")
    choose(page, "Evidence", "documented")
    expect(page.locator(".ql-group")).to_have_count(3)
    source = page.locator(".ql-group").first.get_by_role("link")
    assert str(source.first.get_attribute("href")).startswith("https://")
    assert page.locator("a[data-result]").count() == 0


def test_sort_by_a_head_with_the_keyboard(page: Page) -> None:
    head = page.locator(".ql-group").first.get_by_role("button", name="Weights", exact=True)
    head.focus()
    page.keyboard.press("Enter")
    sorted_head = page.locator(".ql-group").first.get_by_role("columnheader", name="Weights")
    expect(sorted_head).to_have_attribute("aria-sort", "ascending")
    assert plans(page) == ["bnb-nf4", "sdnq-int8", "fp32", "torchao-int4wo"]
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("Least weights")
    expect(page.locator("[data-by='memory']").first).to_be_focused()


def test_a_run_opens_as_its_comparison(page: Page) -> None:
    page.locator("button[data-runs$='|bnb-nf4']").first.click()
    sheet = page.get_by_role("dialog", name="Runs")
    expect(sheet.locator("li")).to_have_count(2)
    expect(sheet).to_contain_text(EVIL)
    sheet.locator("li", has_text="bold").get_by_role("link").click()
    expect(page.get_by_role("tab", name="Compare", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    expect(page.locator("#ql-banner")).to_contain_text("Opened from the results. All")
    expect(page.get_by_label("Prompt").first).to_have_value(EVIL)
    expect(page.locator(".ql-thumb")).to_have_count(4)
    expect(page.locator(".ql-thumb img")).to_have_count(3)
    with page.expect_download() as download:
        page.locator("#ql-save-picture").click()
    assert download.value.suggested_filename.startswith("quantlab-comparison-20")
    with Image.open(download.value.path()) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1400
        colors = {color for _, color in picture.convert("RGB").getcolors(2**24) or []}
    assert {(0, 90, 40), (20, 90, 40), (40, 90, 40)} <= colors


def saved(page: Page, kind: str) -> Path:
    with page.expect_download() as download:
        page.locator(f"#ql-export-{kind}").click()
    name = download.value.suggested_filename
    assert name.startswith("quantlab-results-20")
    assert name.endswith(f".{kind}")
    return Path(download.value.path())


def test_what_is_shown_goes_out_in_three_formats(page: Page) -> None:
    choose(page, "Evidence", "measured")
    expect(page.locator(".ql-group")).to_have_count(2)
    choose(page, "Machine", "a laptop")
    expect(page.locator(".ql-group")).to_have_count(1)
    frame = pd.read_csv(saved(page, "csv"))
    assert len(frame) == 7
    assert set(frame["evidence"]) == {"measured"}
    assert frame.loc[frame["plan"] == "bnb-nf4", "weights_bytes"].tolist() == [40 * MIB] * 2
    items = json.loads(saved(page, "json").read_text(encoding="utf-8"))
    assert [item["plan"] for item in items] == frame["plan"].tolist()
    assert EVIL in {item["prompt"] for item in items}
    text = saved(page, "md").read_text(encoding="utf-8")
    assert "weights (MiB)" in text  # small as they are, GiB would be noughts
    html = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(text)
    assert html.count("<table>") == 1
    assert "<td>bnb-nf4</td>" in html
    assert "<img" not in html


def test_nothing_to_save_yet_is_one_sentence(page: Page) -> None:
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.locator("#ql-save-picture").click()
    expect(page.get_by_text("There is nothing to save yet")).to_be_visible()
