"""Exported text: units in every name, and foreign text that stays text wherever it is opened."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from quantlab.record.results.export import Live, Table, plain, to_csv, to_json, to_markdown
from quantlab.record.store.store import Store
from quantlab.record.sweeps.table import tidy
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Failure, Outcome
from quantlab.words.plan import Plan
from tests.stored_rows import asked

PLANS = (Plan(dtype="fp32"), Plan((("transformer", "bnb-nf4"),)))
COMPARISON = asked(PLANS, "a fox")
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
    scores={"psnr_db": 31.23456, "ssim": 0.987654, "transformer_rel_l2": 0.0123456},
)
BAD = Outcome("bnb-nf4", "failed", error=Failure("load", "LoadError", "no | way\nto *load* it"))
NASTY = "=cmd|' /C calc'!A1 <script>alert(1)</script> [x](javascript:alert(1)) https://a.bc `*_~$|"


def table(comparison: Comparison = COMPARISON) -> list[Live]:
    reference = replace(GOOD, plan="fp32", scores={})
    return [
        Live(comparison, row, {"name": "a laptop"}, {"torch": "2.13.0"})
        for row in (reference, GOOD)
    ]


def read(rows: list[Live]) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(to_csv([tidy(row) for row in rows])))


def test_csv_has_units_and_full_precision() -> None:
    frame = read([*table(), Live(COMPARISON, BAD)])
    first, good, bad = (frame.iloc[index] for index in range(3))
    assert good["weights_bytes"] == 1.5 * 2**30
    assert good["transformer_bytes"] == 2**30
    assert good["peak_bytes"] == 3 * 2**30
    assert good["latency_s"] == 1.25
    assert good["psnr_db"] == GOOD.psnr_db
    assert pd.isna(first["psnr_db"])
    assert [first["role"], good["role"], bad["role"]] == ["reference", "plan", "plan"]
    assert (good["reference"], good["prompt"], good["steps"]) == ("fp32", "a fox", 8)
    assert (good["device_name"], good["version_torch"]) == ("a laptop", "2.13.0")
    assert bad["error"] == "load: no | way\nto *load* it"
    assert pd.isna(bad["weights_bytes"])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r", "  =", "\uff1d", " @"])
def test_a_spreadsheet_never_sees_a_formula(start: str) -> None:
    prompt = start + 'cmd|"/C calc"!A1'
    text = to_csv([tidy(row) for row in table(COMPARISON.changed(prompt=prompt))])
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows[0]["prompt"] == "'" + prompt
    assert plain(rows[0]["prompt"]) == prompt
    assert rows[0]["latency_s"] == "1.25"


def test_an_apostrophe_of_the_text_itself_stays() -> None:
    assert plain("'tis a fox") == "'tis a fox"


def test_component_names_from_a_file_cannot_start_a_formula() -> None:
    row = Live(COMPARISON, replace(GOOD, weights_bytes={"=x": 1}))
    assert ",'=x_bytes," in to_csv([tidy(row)]).splitlines()[0]


def test_negative_numbers_stay_numbers() -> None:
    assert read([Live(COMPARISON, GOOD.scored(ssim=-0.25))])["ssim"][0] == -0.25


def test_json_holds_the_same_but_paths_and_numbers_that_are_none() -> None:
    record = tidy(Live(COMPARISON, GOOD.scored(psnr_db=float("nan"))))
    text = to_json([record])
    (item,) = json.loads(text)
    assert item["psnr_db"] is None
    assert item["measured_at"] is None
    assert (item["weights_bytes"], item["latency_s"]) == (3 * 2**29, 1.25)
    assert set(item) == set(record)
    assert "secret" not in text


def test_stored_rows_export_like_live_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(COMPARISON, 1, GOOD, None, {"name": "a laptop"}, {"torch": "2.13.0"})
    (row,) = store.recent()
    live = tidy(table()[1])
    assert tidy(row) == {**live, "measured_at": row.measured_at}


def test_markdown_is_one_table_a_caption() -> None:
    tables = [
        Table("flux-mini, 8 steps.", [{"plan": "fp32", "weights (GiB)": 31.2345, "failed": ""}]),
        Table("flux1-dev.", [{"plan": "bnb-nf4", "weights (GiB)": None, "failed": "no | *way*"}]),
    ]
    html = MarkdownIt("gfm-like", {"linkify": False}).render(to_markdown(tables))
    assert html.count("<table>") == 2
    assert "<p>flux-mini, 8 steps.</p>" in html
    assert "<td>31.23</td>" in html
    assert "<td>no | *way*</td>" in html
    assert html.count("<th>weights (GiB)</th>") == 1
    assert html.count("<th>failed</th>") == 1


def test_markup_in_markdown_is_shown_as_text() -> None:
    text = to_markdown([Table(NASTY, [{"failed": NASTY}])])
    html = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(text)
    for tag in ("<script", "<a ", "<code", "<em", "<s>", "<img"):
        assert tag not in html
    shown = NASTY.replace("<", "&lt;").replace(">", "&gt;")
    assert f"<td>{shown}</td>" in html
    assert f"<p>{shown}</p>" in html


def test_nothing_to_export() -> None:
    assert to_csv([]) == "\n"
    assert json.loads(to_json([])) == []
    assert to_markdown([]) == ""
