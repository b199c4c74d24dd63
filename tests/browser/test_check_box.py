"""Pasted code on the first tab, as a new user pastes it; and code beside the table's rows."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage

SIMPLE_FORM = """import torch
from diffusers import DiffusionPipeline, PipelineQuantizationConfig
from torchao.quantization import Int8WeightOnlyConfig

config = PipelineQuantizationConfig(
    quant_backend="torchao",
    quant_kwargs={"quant_type": Int8WeightOnlyConfig()},
    components_to_quantize=["transformer"],
)
pipe = DiffusionPipeline.from_pretrained(
    "black-forest-labs/FLUX.1-dev", quantization_config=config, torch_dtype=torch.bfloat16
)
"""


def opened(page: Page) -> Page:
    page.get_by_role("button", name="Check my code").click()
    expect(page.get_by_label("Paste code or an error message")).to_be_visible()
    return page


def test_the_simple_form_is_pasted_and_the_right_code_copied(new_page: NewPage) -> None:
    page = opened(new_page(permissions=["clipboard-read", "clipboard-write"]))
    page.get_by_label("Paste code or an error message").fill(SIMPLE_FORM)
    box = page.locator("#ql-check")
    expect(box.locator(".ql-lead")).to_contain_text("1 fails")
    expect(box.locator(".ql-findings li").first).to_contain_text("quant_mapping takes one config")
    expect(box).to_contain_text("It stands for torchao-int8wo of FLUX.1-dev")
    page.get_by_role("button", name="Copy the mended code").click()
    expect(box.get_by_role("status")).to_have_text("Copied")
    script = str(page.evaluate("navigator.clipboard.readText()"))
    assert '"transformer": DiffusersTorchAoConfig(quant_type=Int8WeightOnlyConfig())' in script
    compare = box.get_by_role("link", name="Compare it with the original")
    assert "plans=bf16~torchao-int8wo" in str(compare.get_attribute("href"))


def test_a_message_is_recognised_and_too_much_is_refused(new_page: NewPage) -> None:
    page = opened(new_page())
    box = page.locator("#ql-check")
    paste = page.get_by_label("Paste code or an error message")
    paste.fill("TypeError: quant_type must be an AOBaseConfig instance, got str")
    expect(box.locator(".ql-findings li")).to_contain_text("torchao-string")
    paste.fill("x = <b>1</b>")
    expect(box.locator(".ql-findings li")).to_contain_text("Python cannot read this")
    paste.fill("")
    expect(box.locator(".ql-findings")).to_have_count(0)


def test_names_from_code_find_rows_and_nothing_found_says_so(new_page: NewPage) -> None:
    page = new_page()
    page.get_by_role("button", name="Show every method").click()
    find = page.get_by_role("searchbox")
    for word, key in (
        ("PipelineQuantizationConfig", "quanto-int8"),
        ("quant_backend", "bnb-nf4"),
        ("quant_type", "torchao-int8wo"),
        ("load_in_4bit", "bnb-fp4"),
        ("Int4WeightOnlyConfig", "torchao-int4wo"),
        ("enable_layerwise_casting", "layerwise-fp8"),
    ):
        find.fill(word)
        expect(page.locator(f'#ql-table [data-key="{key}"]')).to_be_visible()
    find.fill("nothing-is-called-so")
    expect(page.locator(".ql-found")).to_contain_text("No row has all of these words")


def test_a_row_begins_with_working_code_or_why_it_fails(new_page: NewPage) -> None:
    page = new_page()
    page.get_by_role("button", name="Show every method").click()
    page.locator('#ql-table [data-claims="sdnq-int8"]').click()
    expect(page.locator(".ql-sheet-body pre").first).to_contain_text("SDNQConfig")
    claims = page.locator(".ql-sheet .ql-claims").first.bounding_box()
    assert claims is not None
    assert claims["y"] < 600  # whoever comes for them sees them, too
    why = page.locator(".ql-sheet .ql-why")
    expect(why).to_be_hidden()
    page.get_by_text(re.compile("^Why “")).click()
    expect(why).to_be_visible()
