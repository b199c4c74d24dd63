"""What ran worse than predicted on a listed card goes into a file by one button."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from quantlab.catalog.gpus import load_gpus
from quantlab.cli import main
from quantlab.lab.runners.runner import Machine
from quantlab.record.results.importing import read_results
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event, Finished, Outcome
from tests.served_page import Counting, served

GIB = 2**30


class OnCard(Counting):
    """Gives what a card measured: each plan but the first took more memory than it should."""

    def stream(
        self,
        comparison: Comparison,
        *,
        out: Path,  # noqa: ARG002
        stop: threading.Event,  # noqa: ARG002
        repeats: int = 1,  # noqa: ARG002
        warmup: int = 1,  # noqa: ARG002
    ) -> Iterator[Event]:
        for index, plan in enumerate(comparison.plans):
            peak = GIB * index if index else GIB // 16
            figures = {"latency_s": (0.1,), "peak_bytes": peak, "placement": "resident"}
            yield Finished(index, Outcome(str(plan), "ok", **figures))  # type: ignore[arg-type]

    def machine(self) -> Machine:
        total = load_gpus()["rtx-4090-24gb"].bytes
        return {"kind": "cuda", "name": "NVIDIA GeForce RTX 4090", "memory_bytes": total}, {}


def test_a_file_of_what_was_worse_than_predicted(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(OnCard(), tmp_path) as (url, services):
        page = browser.new_page()
        page.goto(f"{url}?v=1&model=flux-mini&plans=fp32~bnb-nf4&prompt=a+red+fox&seed=7")
        expect(page.locator("#ql-banner .ql-banner")).to_be_visible()
        expect(page.locator("[data-worse]")).to_have_count(0)
        page.locator("#ql-run").click()
        button = page.locator("[data-worse]")
        expect(button).to_have_text("Save the measured row as a file to send")
        expect(page.locator("tr[data-plan='bnb-nf4']")).to_contain_text("1.0 GiB at the peak, pre")
        with page.expect_download() as found:
            button.click()
        text = Path(found.value.path()).read_text("utf-8")
        page.get_by_role("tab", name="Results").click()
        page.locator("button[data-runs$='|bnb-nf4']:visible").first.click()
        page.locator(".ql-sheet a[data-result]").first.click()
        expect(page.locator("#ql-banner")).to_contain_text("Opened from the results.")
        with page.expect_download() as later:  # a stored one is as good
            button.click()
        assert Path(later.value.path()).read_text("utf-8") == text
        page.close()
        [row] = read_results("rows.json", text.encode())
        assert row.plan == "bnb-nf4"
        assert row.image_png is None
        assert services.store
        [kept] = [each.id for each in services.store.recent() if each.plan == "bnb-nf4"]
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path / "data"))
    assert main(["export", "--id", kept, "--no-images", "--out", str(tmp_path / "rows.json")]) == 0
    assert (tmp_path / "rows.json").read_text("utf-8") == text
