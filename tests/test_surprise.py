"""A run that was worse than predicted is told of, and its row goes into a file by one command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantlab.catalog.answer.surprise import card_of_device, surprises
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.catalog.time import Seconds
from quantlab.cli import main
from quantlab.record.store.store import Store
from quantlab.words.outcome import Failure, Outcome

CATALOG = load_catalog()
CARD = load_gpus()["rtx-4090-24gb"]
ABOUT = {"kind": "cuda", "name": "NVIDIA GeForce RTX 4090", "memory_bytes": CARD.bytes}
ASKED = make_comparison(model="flux1-dev", plans=["bnb-nf4"], prompt="a fox", steps=28)
TOLD = predict("flux1-dev", parse_plan("bnb-nf4", CATALOG.models["flux1-dev"]), gpu=CARD, steps=28)


def told() -> Seconds:
    assert TOLD.on_card is not None
    assert isinstance(TOLD.on_card.image_s, Seconds)
    return TOLD.on_card.image_s


def ran(**what: Any) -> Outcome:
    fine = Outcome("bnb-nf4", "ok", latency_s=(told().mid,), placement="resident")
    return replace(fine, **({"peak_bytes": TOLD.peak_bytes} | what))


def kinds(outcome: Outcome, about: dict[str, Any] = ABOUT) -> list[str]:
    return [one.kind for one in surprises(ASKED, outcome, about, CATALOG)]


def test_what_went_as_predicted_is_no_surprise() -> None:
    assert kinds(ran()) == []
    assert kinds(ran(latency_s=(told().low / 2,))) == []  # better is not worse


def test_slower_larger_and_out_of_memory_are() -> None:
    slow, large = ran(latency_s=(1.1 * told().high,)), ran(peak_bytes=int(1.2 * TOLD.peak_bytes))
    assert kinds(slow) == ["slower"]
    assert kinds(large) == ["larger"]
    gone = Outcome("bnb-nf4", "failed", error=Failure("run", "OutOfMemory", "no room"))
    assert kinds(gone) == ["out-of-memory"]
    [one] = surprises(ASKED, slow, ABOUT, CATALOG)
    assert f"predicted {told().span()}" in one.text


def test_nothing_is_said_of_what_nothing_was_predicted_for() -> None:
    slow = ran(latency_s=(99.0 * told().high,))
    assert kinds(slow, {**ABOUT, "name": "Some other card"}) == []
    assert kinds(slow, {"kind": "cpu", "name": "AMD EPYC", "memory_bytes": CARD.bytes}) == []
    failed = Outcome("bnb-nf4", "failed", error=Failure("load", "LoadError", "a file is broken"))
    assert kinds(failed) == []
    assert (
        card_of_device({"kind": "rocm", **{k: ABOUT[k] for k in ("name", "memory_bytes")}}) is None
    )


def test_export_writes_the_rows_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    store = Store()
    first, _ = (store.save(ASKED, 0, ran(load_s=n), None, ABOUT, {}) for n in (1.0, 2.0))
    assert main(["export", "--id", str(first), "--no-images", "--out", str(tmp_path / "row")]) == 0
    text = (tmp_path / "row").read_text("utf-8")
    assert text.count('"outcome"') == 1
    assert json.loads(text)
    assert main(["import", str(tmp_path / "row")]) == 0
    assert "0 results added; 1 were there already" in capsys.readouterr().out
    assert main(["export", "--id", "aaaaaaaaaaaa"]) == 2
    assert "id: no result 'aaaaaaaaaaaa' is stored here" in capsys.readouterr().err
