"""Columns held side by side, in a real browser: badges, difference, shared zoom, states."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OFF_THE_CUT, NewPage
from tests.browser.test_try_tab import link, rows, run, seats, wait_until_done

PLANS = ("fp32", "quanto-int2", "bnb-nf4")
COUNTED = """all => {
    const [one, other] = all.map((image) => {
        const canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight;
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, canvas.width, canvas.height).data;
    });
    const apart = one.map((value, n) => Math.abs(value - other[n])).filter((_, n) => n % 4 < 3);
    const shown = Array.from(apart, (value) => Math.min(255, 4 * value));
    return {
        largest: Math.max(...apart),
        mean: shown.reduce((sum, value) => sum + value, 0) / shown.length,
    };
}"""
"""The largest difference of both pictures, and the mean of what is shown of it four times."""


SAME = """() => {
    const [one, other] = document.querySelectorAll(".ql-pane img");
    return one.complete && other.complete && one.currentSrc === other.currentSrc;
}"""
"""Whether one picture stands on both sides."""


def done(new_page: NewPage, *plans: str, prompt: str = "a red fox", **options: object) -> Page:
    """A page on which these plans have run, or were found to have run before."""
    page = new_page(link(*plans, prompt=prompt), **options)
    if "All" not in page.locator("#ql-banner").inner_text():
        run(page)
        wait_until_done(page)
    return page


def view(page: Page) -> Locator:
    return page.locator(".ql-view")


def shown_mean(page: Page) -> float:
    """Mean value of the pixels of the view, 0 to 255."""
    shot = np.asarray(Image.open(io.BytesIO(view(page).screenshot())).convert("RGB"))
    # A view that begins between two pixels has the page's ground in its outermost row.
    return float(shot[1:-1, 1:-1].mean())


def alts(page: Page) -> list[str]:
    """What stands on the left and on the right."""
    images = page.locator(".ql-pane img")
    return list(images.evaluate_all("all => all.map(i => i.alt.slice('Image of '.length))"))


def zooms(page: Page) -> list[list[float]]:
    """Zoom and offset of both pictures, offsets in picture widths and heights."""
    found = page.locator(".ql-pane img").evaluate_all(
        """all => all.map(i => {
            const m = new DOMMatrix(getComputedStyle(i).transform);
            return [m.a, m.e / i.offsetWidth, m.f / i.offsetHeight];
        })"""
    )
    return [[round(value, 3) for value in each] for each in found]


def test_a_badge_says_its_band_and_opens_what_it_means(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    word = rows(page).nth(1).get_by_role("button", name=re.compile("^PSNR: "))
    told = rows(page).nth(1).locator("[data-label=Closeness]").inner_text()
    figure = float(re.findall(r"([\d.]+) dB", told)[0])
    expected = "visible" if figure >= 27.4 else "far" if figure >= 18.7 else "very far"
    expect(word).to_have_accessible_name(f"PSNR: {expected}. What this means")
    expect(rows(page).first.locator(".ql-badge")).to_have_count(0)
    sheet = page.get_by_role("dialog", name="How far from the reference")
    word.focus()
    page.keyboard.press("Enter")
    expect(sheet).to_be_visible()
    expect(sheet.get_by_role("row")).to_have_count(7)
    expect(sheet).to_contain_text("≥ 27.4 dB")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(word).to_be_focused()


def test_the_stage_by_keyboard(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    assert alts(page) == ["A · fp32", "B · quanto-int2"], "the reference and the farthest"
    stage = page.get_by_role("group", name="Left picture")
    stage.focus()
    page.keyboard.press("3")
    page.keyboard.press("Shift+2")
    assert alts(page) == ["B · quanto-int2", "C · bnb-nf4"]
    page.keyboard.press(" ")
    expect(view(page)).to_have_class(re.compile("is-over"))
    page.keyboard.press(" ")
    expect(view(page)).not_to_have_class(re.compile("is-over"))
    slider = page.get_by_role("slider", name="Divider", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    assert view(page).evaluate("e => e.style.getPropertyValue('--cut')") == "0%"
    assert view(page).evaluate(OFF_THE_CUT) < 1
    for name, mode in (("Side by side", "side"), ("Difference", "difference")):
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
        expect(view(page)).to_have_attribute("data-view", mode)
    page.get_by_label("Amplified").select_option("16")
    assert view(page).evaluate("e => getComputedStyle(e).filter") == "brightness(16)"


def test_the_difference_is_the_pictures_own_amplified(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    page.get_by_role("button", name="Difference").click()
    page.get_by_label("Amplified").select_option("4")
    left, right = (image.bounding_box() for image in page.locator(".ql-pane img").all())
    assert left == right, "one picture lies on the other"
    differs = page.locator(".ql-pane img").evaluate_all(COUNTED)
    told = page.locator("[data-told]").inner_text()
    assert f"at most by {differs['largest']} of 255" in told
    assert abs(shown_mean(page) - differs["mean"]) < 3
    page.keyboard.press("Escape")
    seats(page).nth(0).locator("[data-put]").click()
    page.wait_for_function(SAME)
    # But for the seams at which a browser without a GPU puts its tiles together.
    assert shown_mean(page) < 0.1, "one picture on both sides leaves it black"


def test_click_puts_a_plan_on_the_right_and_shift_on_the_left(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    seats(page).nth(2).locator("[data-put]").click()
    seats(page).nth(1).locator("[data-put]").click(modifiers=["Shift"])
    assert alts(page) == ["B · quanto-int2", "C · bnb-nf4"]
    expect(seats(page).nth(2).locator("[data-put]")).to_have_attribute("aria-pressed", "true")


def test_both_pictures_zoom_together_and_stay_so(new_page: NewPage) -> None:
    page = done(new_page, *PLANS)
    page.get_by_role("group", name="Left picture").focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    found = zooms(page)
    assert found[0][0] == 1.562
    assert found[0][1] < 0
    assert found == [found[0]] * 2
    page.locator("#ql-seed input").fill("8")
    run(page)
    wait_until_done(page)
    assert zooms(page) == found
    page.get_by_role("button", name="Whole picture").click()
    assert zooms(page)[0][0] == 1


def test_two_fingers_zoom_on_a_phone(new_page: NewPage) -> None:
    page = done(new_page, *PLANS, has_touch=True, is_mobile=True)
    page.set_viewport_size({"width": 390, "height": 844})
    box = view(page).bounding_box()
    assert box is not None
    assert box["y"] < 400, "the picture is not at the top"
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
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
    assert 1.5 < zooms(page)[0][0] < 3


def test_six_plans_fit_any_screen_and_the_picture_is_above_the_fold(new_page: NewPage) -> None:
    six = ("fp32", "bnb-nf4", "quanto-int2", "torchao-int4wo", "quanto-int8", "bf16")
    page = done(new_page, *six)
    for width, height in ((390, 844), (768, 1024), (1280, 800)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = view(page).bounding_box()
        assert box is not None
        assert box["y"] < height / 2
        assert box["height"] <= 0.71 * height
    page.goto(page.url.partition("?")[0] + link(*six) + "&embed=1")
    expect(view(page)).to_be_visible()
    expect(page.locator("#ql-run")).to_be_hidden()
    expect(page.locator("#ql-tuning")).to_be_hidden()
    expect(page.get_by_role("tab").first).to_be_hidden()
