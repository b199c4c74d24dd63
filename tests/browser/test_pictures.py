"""A picture is given on the page and gone by: FLUX.1 Kontext's tiny twin, one step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from quantlab.catalog.paths import OWN_MODELS
from quantlab.catalog.table import load_catalog
from quantlab.lab.hub.admit import admit
from quantlab.lab.runners.local import LocalRunner
from tests.served_page import served
from tools.twins import build


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page of somebody who named the twin, opened on a comparison of it."""
    monkeypatch.setenv(OWN_MODELS, "")
    build("flux1-kontext", tmp_path / "twin")
    model = admit(str(tmp_path / "twin"))
    with served(LocalRunner(load_catalog()), tmp_path / "page") as (url, _):
        asked = {"v": "1", "model": model.id, "plans": "bf16~torchao-int8wo", "prompt": "a fox"}
        small = {"steps": "1", "width": "64", "height": "64"}
        query = "&".join(f"{key}={quote(value)}" for key, value in {**asked, **small}.items())
        yield f"{url}?{query}"


def test_a_picture_is_given_and_gone_by(browser: Browser, address: str, tmp_path: Path) -> None:
    Image.new("RGB", (96, 64), "teal").save(tmp_path / "teal.png")
    (tmp_path / "text.png").write_text("hello")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    box = page.locator("#ql-pictures")
    expect(box).to_contain_text("up to 1")
    chosen = box.locator("input[type=file]")
    chosen.set_input_files(str(tmp_path / "text.png"))
    expect(box.get_by_role("status")).to_contain_text("text.png is no whole picture")
    chosen.set_input_files(str(tmp_path / "teal.png"))
    expect(box).to_contain_text("1 of 1 given")
    expect(box.locator("input[type=file]")).to_be_disabled()
    link = page.locator("#ql-link").get_by_role("textbox")
    expect(link).to_have_value(re.compile("reference=[0-9a-f]{16}"))
    page.locator("#ql-run").click()
    expect(page.locator(".ql-facts-table tr.is-done")).to_have_count(2, timeout=120_000)
    box.get_by_role("button", name="Take none").click()
    expect(box).to_contain_text("up to 1")
    page.close()
