"""The GPU day on a CPU: its small scale is run, and what happens when a part dies or is late."""

from __future__ import annotations

import csv
import json
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu_day import __main__ as gpu_day
from benchmarks.gpu_day import findings, latency, supervise
from benchmarks.gpu_day.book import read
from benchmarks.gpu_day.flux_packed import _bytes
from benchmarks.gpu_day.supervise import Run, finish
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.sizes.activations import activation_bytes
from quantlab.catalog.sizes.picture import Picture
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog

DEV = load_catalog().models["flux1-dev"]


def run(out: Path, *arguments: str) -> dict[str, Any]:
    """The figures of the last line."""
    said = StringIO()
    with redirect_stdout(said):
        assert gpu_day.main(["--scale", "mini", "--out", str(out), *arguments]) == 0
    figures: dict[str, Any] = json.loads(said.getvalue().splitlines()[-1])
    return figures


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures and rows of the timed parts, all in one process each."""
    out = tmp_path_factory.mktemp("day") / "rows.jsonl"
    asked = ("copy", "bf16+parts", "gguf-q8_0", "z-image-turbo:bf16")
    figures = run(out, "--parts", "card", "flux", "year", "--items", *asked)
    return figures, list(read(out))


def test_every_item_has_rows_with_the_machine_and_the_versions(
    small: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    figures, rows = small
    assert (figures["items"], figures["failed"], figures["skipped"]) == (4, [], 0)
    assert {row["part"] for row in rows} == {"card", "flux", "year"}
    for row in rows:
        assert row["device_kind"] == "cpu"
        assert row["evidence"] == "measured"
        assert row["versions"]["torch"] == torch.__version__
    steps = [row for row in rows if row["what"] == "step"]
    assert len(steps) == 3
    assert all(row["step_s"] > 0 for row in steps)


def test_stored_bytes_are_the_formulas_and_a_packed_step_is_near(
    small: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    rows = small[1]
    plans = {row["plan"]: row for row in rows if row["what"] == "plan"}
    assert {name: row["weights_error"] for name, row in plans.items()} == {
        "bf16": 0,
        "gguf-q8_0": 0,
    }
    errors = {row["plan"]: row["rel_l2"] for row in rows if row["what"] == "step" and "plan" in row}
    assert errors["bf16"] == 0
    assert 0 < errors["gguf-q8_0"] < 0.02


def test_rows_become_timings(
    small: tuple[dict[str, Any], list[dict[str, Any]]], tmp_path: Path
) -> None:
    path, out = tmp_path / "rows.jsonl", tmp_path / "timings.csv"
    path.write_text("".join(json.dumps(row) + "\n" for row in small[1]), encoding="utf-8")
    assert latency.main([str(path), str(out)]) == 0
    with out.open(encoding="utf-8", newline="") as lines:
        timings = list(csv.DictReader(lines))
    seen = {(t["model"], t["scheme"], t["text_encoder_scheme"]) for t in timings}
    assert ("flux1-dev", "bf16", "bf16") in seen
    assert ("z-image-turbo", "bf16", "") in seen  # its encoder did not run
    assert all(float(t["seconds_per_step"]) > 0 for t in timings)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_weights_are_packed_as_gguf_packs_them(kind: str) -> None:
    import gguf

    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    theirs = gguf.quants.quantize(weight.numpy(), gguf.GGMLQuantizationType[kind])
    back = gguf.quants.dequantize
    ours = back(_bytes(weight, kind).numpy(), gguf.GGMLQuantizationType[kind])
    assert ours == pytest.approx(back(theirs, gguf.GGMLQuantizationType[kind]), abs=1e-3)


CHILD = """
import os, sys, time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from benchmarks.gpu_day.worker import work

@contextmanager
def prepared(book, scale):
    book.add("built")
    def attempt(item):
        if item == "dies":
            os._exit(9)
        if item == "breaks":
            raise ValueError("the kernel is not here")
        if item == "hangs":
            time.sleep(600)
        book.add("rate", value=1)
    yield attempt

items, out, gate = sys.argv[2:-4], Path(sys.argv[-3]), Path(sys.argv[-1])
work("part", SimpleNamespace(prepared=prepared), items, "mini", out, gate)
"""


def supervised(folder: Path, items: list[str], seconds: float) -> list[dict[str, Any]]:
    """The rows of a part whose items are named after what becomes of them."""
    out = folder / "rows.jsonl"
    run = Run("part", [sys.executable, "-c", CHILD], items, out, seconds)
    run.prepare()
    while not list(read(out)):  # it is imported: the time counts from here
        time.sleep(0.05)
    finish([run], time.time() + seconds)
    assert [path.name for path in folder.iterdir()] == ["rows.jsonl"]
    return list(read(out))


def test_what_kills_a_process_or_raises_is_a_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = supervised(tmp_path, ["first", "dies", "breaks", "last"], seconds=120)
    told = {row["item"]: row["reason"] for row in rows if row["what"] == "failed"}
    assert told == {
        "dies": "the process ended with 9",
        "breaks": "ValueError: the kernel is not here",
    }
    assert [row["item"] for row in rows if row["what"] == "rate"] == ["first", "last"]


def test_what_takes_too_long_is_ended_and_what_was_measured_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "GRACE_S", 0.0)
    rows = supervised(tmp_path, ["first", "hangs", "last"], seconds=1)
    assert [(r["item"], r["reason"]) for r in rows if r["what"] == "failed"] == [
        ("hangs", "took too long")
    ]
    assert [row["item"] for row in rows if row["what"] == "rate"] == ["first"]


def test_the_kept_tables_are_those_of_the_kept_rows(tmp_path: Path) -> None:
    """And each row of them has the card, the driver, the versions and the date."""
    results = PROJECT / "data" / "results"
    rows = results / "gpu-h200.jsonl"
    for make, name in ((latency, "gpu-h200-latency.csv"), (findings, "probe-cuda.csv")):
        assert make.main([str(rows), str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text() == (results / name).read_text()
    for row in read(rows):
        assert {"device", "driver", "cuda", "versions", "measured_on"} <= row.keys()
        assert row["evidence"] == "measured"


def test_what_was_measured_is_what_is_predicted_now() -> None:
    """Bytes to the formula, peaks within 1 %, of every plan of a full FLUX.1 that was loaded."""
    plans = [
        row
        for row in read(PROJECT / "data" / "results" / "gpu-h200.jsonl")
        if row["part"] == "flux" and row["what"] in ("plan", "size")
    ]
    assert len(plans) >= 8
    for row in plans:
        size = {"width": row.get("width", 1024), "height": row.get("width", 1024)}
        now = predict("flux1-dev", parse_plan(row["plan"], DEV), sequence_length=512, **size)
        assert row["run_peak_bytes"] == pytest.approx(now.peak_bytes, rel=0.01)
        if "weights_error" in row:  # GGUF: packed whole, unlike the files that people fetch
            gguf = row["plan"].startswith("gguf")
            assert gguf or row["weights_bytes"] == pytest.approx(now.component_bytes, rel=1e-6)
            assert abs(row["weights_error"]) < 1e-6


@pytest.mark.parametrize("model", ["flux3-klein", "flux2-klein-4b", "z-image-turbo"])
def test_a_step_adds_no_more_than_is_predicted(model: str) -> None:
    """In bf16 at 1024 x 1024 with 512 tokens, and not a quarter less either."""
    rows = read(PROJECT / "data" / "results" / "gpu-h200.jsonl")
    adds = [
        row["step_adds_bytes"]
        for row in rows
        if row["what"] == "step"
        and (row.get("model"), row.get("scheme"), row["mode"]) == (model, "bf16", "eager")
    ]
    known = load_catalog().models[model]
    picture = Picture(width=1024, height=1024, sequence_length=512)
    predicted = activation_bytes(known, "transformer", picture, 2)
    assert adds
    assert all(0.75 * predicted < each <= predicted for each in adds)
