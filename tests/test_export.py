"""Exported text: numbers with units, and foreign text that stays text wherever it is opened."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from quantlab.lab.outcome import Failure, Outcome
from quantlab.lab.plan import Comparison, Plan
from quantlab.record.export import Live, to_csv, to_json, to_markdown
from quantlab.record.store import Store

PLANS = (Plan(dtype="fp32"), Plan((("transformer", "bnb-nf4"),)))
COMPARISON = Comparison("flux-mini", PLANS, "a fox", 1, 8, 3.5, 128, 64, 32)
GOOD = Outcome(
    "bnb-nf4",
    "ok",
    way="library",
    image="/tmp/secret/1.png",
    weights_bytes={"transformer": 2**30, "vae": 2**29},
    peak_bytes=3 * 2**30,
    peak_kind="rss",
    load_s=0.5,
    latency_s=(3.0, 1.0, 1.25),
    psnr_db=31.23456,
    ssim=0.987654,
    transformer_rel_l2=0.0123456,
)
BAD = Outcome("bnb-nf4", "failed", error=Failure("load", "LoadError", "no | way\nto *load* it"))
NASTY = "=cmd|' /C calc'!A1 <script>alert(1)</script> [x](javascript:alert(1)) https://a.bc `*_~$|"


def table(comparison: Comparison = COMPARISON) -> list[Live]:
    reference = replace(GOOD, plan="fp32", psnr_db=None, ssim=None)
    return [
        Live(comparison, row, {"name": "a laptop"}, {"torch": "2.13.0"})
        for row in (reference, GOOD)
    ]


def test_csv_has_units_and_full_precision() -> None:
    frame = pd.read_csv(io.StringIO(to_csv([*table(), Live(COMPARISON, BAD)])))
    good, bad = frame.iloc[1], frame.iloc[2]
    assert good["weights (GiB)"] == 1.5
    assert good["transformer weights (GiB)"] == 1
    assert good["peak (GiB)"] == 3
    assert good["latency (s)"] == 1.25
    assert good["PSNR (dB)"] == GOOD.psnr_db
    assert pd.isna(frame.iloc[0]["PSNR (dB)"])
    assert (good["reference"], good["prompt"], good["steps"]) == ("fp32", "a fox", 8)
    assert good["device"] == "name a laptop"
    assert bad["error"] == "load: LoadError: no | way\nto *load* it"
    assert pd.isna(bad["weights (GiB)"])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r", "  =", "\uff1d", " @"])
def test_a_spreadsheet_never_sees_a_formula(start: str) -> None:
    prompt = start + 'cmd|"/C calc"!A1'
    text = to_csv(table(replace(COMPARISON, prompt=prompt)))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows[0]["prompt"] == "'" + prompt
    assert rows[0]["latency (s)"] == "1.25"


def test_component_names_from_a_file_cannot_start_a_formula() -> None:
    header = to_csv([Live(COMPARISON, replace(GOOD, weights_bytes={"=x": 1}))]).splitlines()[0]
    assert ",'=x weights (GiB)" in header


def test_negative_numbers_stay_numbers() -> None:
    frame = pd.read_csv(io.StringIO(to_csv([Live(COMPARISON, replace(GOOD, ssim=-0.25))])))
    assert frame["SSIM"][0] == -0.25


def test_json_holds_everything_but_paths() -> None:
    (item,) = json.loads(to_json([Live(COMPARISON, replace(GOOD, psnr_db=float("nan")))]))
    assert item["comparison"] == COMPARISON.as_dict()
    assert item["outcome"] == {**GOOD.as_dict(), "image": None, "psnr_db": None}
    assert item["measured_at"] is None


def test_stored_rows_export_like_live_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(COMPARISON, 1, GOOD, None, {"name": "a laptop"}, {"torch": "2.13.0"})
    rows = store.recent()
    assert json.loads(to_json(rows))[0]["outcome"] == {**GOOD.as_dict(), "image": None}
    assert rows[0].measured_at in to_csv(rows)
    assert f"Measured {rows[0].measured_at[:10]}." in to_markdown(rows).replace("\\", "")


def test_markdown_is_one_table_a_comparison() -> None:
    other = replace(COMPARISON, seed=2)
    text = to_markdown([*table(), *table(other), Live(COMPARISON, BAD)])
    html = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    assert html.count("<table>") == 3
    assert "<th>weights (GiB)</th>" in html
    assert "<td>31.23</td>" in html
    assert "<p>flux-mini, prompt “a fox”, seed 1, 8 steps, guidance 3.5, 128 x 64 px" in html
    assert "<td>load: LoadError: no | way to *load* it</td>" in html


def test_markup_in_markdown_is_shown_as_text() -> None:
    failed = Live(replace(COMPARISON, prompt=NASTY), replace(BAD, error=Failure("run", "E", NASTY)))
    html = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(to_markdown([failed]))
    for tag in ("<script", "<a ", "<code", "<em", "<s>", "<img"):
        assert tag not in html
    shown = NASTY.replace("<", "&lt;").replace(">", "&gt;")
    assert f"<td>run: E: {shown}</td>" in html
    assert f"prompt “{shown}”" in html


def test_nothing_to_export() -> None:
    assert to_csv([]).startswith("model,plan,status,weights (GiB)")
    assert json.loads(to_json([])) == []
    assert to_markdown([]) == ""
