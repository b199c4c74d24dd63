"""Columns held side by side, in a real browser: badges, difference, shared zoom, states."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage
from tests.browser.test_try_tab import RUN_MS, link, run, states, wait_until_done

PLANS = ("fp32", "quanto-int2", "bnb-nf4")
FETCH = """async (image) => {
    const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
    return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
}"""


def done(new_page: NewPage, *plans: str, prompt: str = "a red fox", **options: object) -> Page:
    """A page on which these plans have run, or were found to have run before."""
    page = new_page(link(*plans, prompt=prompt), **options)
    if "All" not in page.locator("#ql-banner").inner_text():
        run(page)
        wait_until_done(page)
    return page


def pixels(image: Locator) -> Any:
    """What an image on the page holds: uint8, (height, width, 3)."""
    expect(image).to_have_js_property("complete", True)
    data = base64.b64decode(image.evaluate(FETCH))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def columns(page: Page) -> Locator:
    return page.locator(".ql-columns .ql-image img")


def transforms(page: Page) -> list[str]:
    """The transform that each image in the group really has."""
    images = page.locator(".ql-zoom-group .ql-image img")
    return list(images.evaluate_all("all => all.map(i => getComputedStyle(i).transform)"))


def parts_shown(page: Page) -> list[list[float]]:
    """Zoom and offset of each column's image, offsets in image widths and heights."""
    found = columns(page).evaluate_all(
        """all => all.map(i => {
            const m = new DOMMatrix(getComputedStyle(i).transform);
            return [m.a, m.e / i.offsetWidth, m.f / i.offsetHeight];
        })"""
    )
    return [[round(value, 3) for value in each] for each in found]


def test_a_badge_says_its_band_and_opens_what_it_means(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    column = page.locator(".ql-column").nth(1)
    word = column.get_by_role("button", name=re.compile("^PSNR: "))
    figure = float(column.locator(".ql-judged b").inner_text().split()[0])
    expected = "visible" if figure >= 27.4 else "far" if figure >= 18.7 else "very far"
    expect(word).to_have_accessible_name(f"PSNR: {expected}. What this means")
    expect(page.locator(".ql-column").first.locator(".ql-badge")).to_have_count(0)
    sheet = page.get_by_role("dialog", name="How far from the reference")
    expect(sheet).to_be_hidden()
    word.focus()
    page.keyboard.press("Enter")
    expect(sheet).to_be_visible()
    expect(sheet.get_by_role("row")).to_have_count(7)
    expect(sheet).to_contain_text("≥ 27.4 dB")
    expect(sheet.get_by_role("link").first).to_have_attribute("href", re.compile("^https://"))
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(word).to_be_focused()


def test_the_difference_is_the_images_own_amplified(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    shown = page.locator("#ql-difference img")
    expect(shown).to_be_visible()
    reference = pixels(columns(page).nth(0)).astype(int)
    by_name = {"B · quanto-int2": 1, "C · bnb-nf4": 2}
    for name, index in by_name.items():
        for times in (16, 1):
            before = shown.get_attribute("src")
            choose(page, "Image to subtract", name)
            choose(page, "Amplified", f"{times}×")
            expect(shown).not_to_have_attribute("src", str(before))
            expect(page.locator(".ql-panel .ql-hint")).to_contain_text(f", {times} times;")
            apart = np.abs(pixels(columns(page).nth(index)).astype(int) - reference)
            assert apart.max() > 0
            assert (pixels(shown) == np.minimum(apart * times, 255)).all()
            expect(page.locator(".ql-panel .ql-hint")).to_contain_text(
                f"at most by {apart.max()} of 255"
            )


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_equal_images_leave_it_black(new_page: NewPage) -> None:
    page = done(new_page, "fp32", "transformer=fp32")
    expect(page.locator(".ql-panel .ql-hint")).to_contain_text("not one pixel differs")
    assert not pixels(page.locator("#ql-difference img")).any()
    badge = page.locator(".ql-column").nth(1).locator(".ql-badge").first
    expect(badge).to_contain_text("identical")


def test_zoom_moves_all_images_together(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    first = columns(page).first
    expect(columns(page)).to_have_count(3)
    assert set(transforms(page)) == {"matrix(1, 0, 0, 1, 0, 0)"}
    scrolled = page.evaluate("scrollY")
    first.scroll_into_view_if_needed()
    first.click()
    page.mouse.wheel(0, -100)
    page.mouse.wheel(0, -100)
    expect(page.locator(".ql-columns ~ * .ql-zoom-level, .ql-zoom-level").first).to_have_text(
        "1.6×"
    )
    assert scrolled <= page.evaluate("scrollY"), "the page moved instead"
    zoomed = parts_shown(page)
    assert zoomed[0][0] == 1.562
    assert zoomed == [zoomed[0]] * 3
    assert first.evaluate("i => getComputedStyle(i).imageRendering") == "pixelated"

    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    moved = parts_shown(page)
    assert moved[0][0] > zoomed[0][0]
    assert moved[0][1] < zoomed[0][1]
    assert moved == [moved[0]] * 3

    box = first.evaluate("i => i.parentElement.getBoundingClientRect().toJSON()")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] / 10, y, steps=3)
    page.mouse.up()
    dragged = parts_shown(page)
    assert abs(dragged[0][1] - moved[0][1] - 0.1) < 0.01
    assert dragged == [dragged[0]] * 3

    page.keyboard.press("0")
    assert set(transforms(page)) == {"matrix(1, 0, 0, 1, 0, 0)"}
    page.get_by_role("button", name="Zoom all images in").first.click()
    assert parts_shown(page)[2][0] == 1.562
    page.get_by_role("button", name="Zoom all images out").first.click()
    assert parts_shown(page)[2][0] == 1


def test_the_wheel_scrolls_until_an_image_is_chosen(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    columns(page).first.scroll_into_view_if_needed()
    columns(page).first.hover()
    before = page.evaluate("scrollY")
    page.mouse.wheel(0, 120)
    page.wait_for_function(f"scrollY > {before}")
    assert set(transforms(page)) == {"matrix(1, 0, 0, 1, 0, 0)"}


def test_zoom_outlives_new_images(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    page.get_by_role("button", name="Zoom all images in").first.click()
    before = parts_shown(page)
    source = columns(page).nth(1).get_attribute("src")
    page.locator("#ql-seed input").fill("8")
    page.get_by_label("Prompt").focus()
    run(page)
    wait_until_done(page)
    expect(columns(page)).to_have_count(3)
    expect(columns(page).nth(1)).not_to_have_attribute("src", str(source))
    assert parts_shown(page) == before


def test_two_fingers_zoom_on_a_phone(new_page: NewPage) -> None:
    page = done(new_page, *PLANS, has_touch=True, is_mobile=True)
    page.set_viewport_size({"width": 390, "height": 844})
    first = columns(page).first
    first.scroll_into_view_if_needed()
    box = first.evaluate("i => i.parentElement.getBoundingClientRect().toJSON()")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, apart: float) -> None:
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        touch.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": points if kind != "touchEnd" else []},
        )

    fingers("touchStart", 20)
    for apart in (25, 30, 40, 50):
        fingers("touchMove", apart)
    fingers("touchEnd", 0)
    page.wait_for_function("document.querySelector('[data-zoomed]') !== null")
    found = parts_shown(page)
    assert 1.5 < found[0][0] < 3
    assert found == [found[0]] * 3


def test_a_failed_column_offers_the_nearest_plan_that_runs(new_page: NewPage) -> None:
    page = done(new_page, "fp32", "torchao-int4wo")
    failed = page.locator(".ql-column").nth(1)
    expect(failed.locator(".ql-failure")).to_contain_text("needs a CUDA device")
    button = failed.get_by_role("button", name=re.compile("^Use .* instead$"))
    plan = button.inner_text().removeprefix("Use ").removesuffix(" instead")
    button.click()
    expect(failed.locator("h2")).to_have_text(plan)
    expect(button).to_be_hidden()
    expect(failed.locator(".ql-failure")).to_have_count(0)
    run(page)
    wait_until_done(page)
    assert states(page) == ["done", "done"]


def test_stopping_looks_like_nothing_else(new_page: NewPage) -> None:
    plans = ("fp32", "bnb-nf4", "bnb-fp4", "bnb-nf4-dq", "bnb-int8", "sdnq-int8")
    page = new_page(link(*plans, steps=50, size=256, prompt="a green apple"))
    run(page)
    expect(page.locator("#ql-stop")).to_be_visible(timeout=RUN_MS)
    # What each state was called, from the press to the end, as the page itself saw it.
    page.evaluate(
        """() => {
            window.told = [];
            const note = () => document.querySelectorAll(".ql-state").forEach(
                (each) => window.told.push(each.className + " " + each.textContent));
            new MutationObserver(note).observe(document.body, { childList: true, subtree: true });
        }"""
    )
    page.locator("#ql-stop").click()
    expect(page.locator("#ql-run")).to_have_text("Run", timeout=RUN_MS)
    told = page.evaluate("window.told")
    assert any("is-stopping" in text and "◧" in text for text in told)
    expect(page.locator(".ql-state:visible").last).to_contain_text("stopped", timeout=RUN_MS)


def test_columns_fit_any_screen(new_page: NewPage) -> None:
    six = ("fp32", "bnb-nf4", "quanto-int2", "torchao-int4wo", "quanto-int8", "bf16")
    page = done(new_page, *six)
    for width in (390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [column.bounding_box() for column in page.locator(".ql-column").all()]
        assert all(box is not None and 230 <= box["width"] <= width for box in boxes)
        cut = page.locator(".ql-judged").evaluate_all(
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length"
        )
        assert cut == 0
