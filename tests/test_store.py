"""The store: what goes in comes out, by its inputs; what others measured, and what stays."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from quantlab.catalog.paths import RESULTS as FILE
from quantlab.errors import InputError, StoreError
from quantlab.record.link import to_query
from quantlab.record.store.row import from_row, to_row
from quantlab.record.store.store import Store, Stored
from quantlab.words.outcome import Failure, Outcome
from quantlab.words.plan import Plan
from tests.stored_rows import COMPARISON, DEVICE, NF4, T5, VERSIONS, outcome, png, save

OLD_ROWS = json.loads((Path(__file__).parent / "data" / "rows-version-1.json").read_text())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


def test_what_goes_in_comes_out(store: Store) -> None:
    before = time.time()
    comparison = COMPARISON.changed(plans=(*COMPARISON.plans, T5), prompt="狐 🦊 <b>'--")
    result = store.save(comparison, 2, outcome(T5), png(), DEVICE, VERSIONS)
    stored = store.get(str(result))
    assert stored is not None
    assert stored == Stored(
        id=str(result),
        comparison=comparison,
        plan=str(T5),
        outcome=replace(outcome(T5), image=None),
        image_png=png(),
        device=DEVICE,
        versions=VERSIONS,
        measured_at=stored.measured_at,
    )
    assert list(stored.outcome.weights_bytes) == ["transformer", "text_encoder", "vae"]
    measured = datetime.fromisoformat(stored.measured_at)
    assert before - 1 <= measured.timestamp() <= time.time() + 1
    assert stored.measured_at.endswith("Z")
    assert store.recent() == [stored]
    assert store.get("nothing") is None


def test_ids_are_short_and_safe_in_a_url(store: Store) -> None:
    ids = {save(store) for _ in range(20)}
    assert len(ids) == 20
    assert all(len(found) == 12 and found.isalnum() and found.islower() for found in ids)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "flux1-dev"},
        {"prompt": "Fox"},
        {"seed": 2},
        {"steps": 9},
        {"guidance": 3.25},
        {"width": 64, "height": 128},
        {"sequence_length": 33},
        {"plans": (Plan(dtype="bf16"), NF4)},
    ],
    ids=str,
)
def test_other_inputs_are_other_results(store: Store, changes: dict[str, object]) -> None:
    save(store)
    assert len(store.find(COMPARISON)) == 1
    model = {"model": changes.pop("model")} if "model" in changes else {}
    assert store.find(replace(COMPARISON.changed(**changes), **model)) == []


def test_zero_guidance_has_one_key(store: Store) -> None:
    save(store, COMPARISON.changed(guidance=-0.0))
    assert len(store.find(COMPARISON.changed(guidance=0.0))) == 1


def test_failures_are_kept_and_stopped_plans_are_not(store: Store) -> None:
    failed = Outcome("bnb-nf4", "failed", error=Failure("load", "LoadError", "no such \ud800 file"))
    stopped = replace(failed, error=Failure("stopped", "Stopped", "stopped at step 2"))
    result = store.save(COMPARISON, 1, failed, None, DEVICE, VERSIONS)
    assert store.save(COMPARISON, 1, stopped, None, DEVICE, VERSIONS) is None
    assert [(row.id, row.outcome) for row in store.find(COMPARISON)] == [(result, failed)]
    assert store.find(COMPARISON)[0].image_png is None


def test_numbers_that_json_lacks_become_null(store: Store) -> None:
    odd = outcome(scores={"psnr_db": float("inf"), "transformer_rel_l2": float("nan")})
    store.save(COMPARISON, 1, odd, None, {"x": float("nan")}, {})
    (found,) = store.find(COMPARISON)
    assert found.outcome.psnr_db is found.outcome.transformer_rel_l2 is found.device["x"] is None


def test_a_torn_image_or_a_wrong_plan_is_not_kept(store: Store) -> None:
    with pytest.raises(StoreError, match="not a whole PNG"):
        store.save(COMPARISON, 1, outcome(), png()[:-3], DEVICE, VERSIONS)
    with pytest.raises(ValueError, match="not of fp32"):
        store.save(COMPARISON, 0, outcome(), png(), DEVICE, VERSIONS)
    assert store.recent() == []


def test_a_result_outlives_its_scheme_and_model(store: Store) -> None:
    gone = replace(COMPARISON, model="old-model", plans=(Plan((("unet", "gone-int3"),)),))
    save(store, gone, 0)
    assert store.find(gone)[0].comparison == gone


def test_a_row_that_cannot_be_read_is_left_out(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = save(store)
    for broken in ("{", '{"comparison": {}}', "[]"):
        bad = save(store)
        with sqlite3.connect(tmp_path / "data" / FILE) as connection:
            connection.execute("UPDATE results SET record = ? WHERE id = ?", (broken, bad))
        assert [row.id for row in store.recent()] == [good]
        assert store.get(bad) is None
    assert "cannot be read" in caplog.text


def test_the_record_is_plain_json(store: Store, tmp_path: Path) -> None:
    """Other programs may read the file: one JSON document a row."""
    save(store)
    with sqlite3.connect(tmp_path / "data" / FILE) as connection:
        (text,) = connection.execute("SELECT record FROM results").fetchone()
    assert set(json.loads(text)) == {"comparison", "plan", "outcome", "device", "versions"}


# Results of other machines


def test_what_was_measured_here_is_shown_before_what_was_imported(store: Store) -> None:
    foreign = Stored(
        "", COMPARISON, "bnb-nf4", replace(outcome(), image=None), png(), {"name": "far"}, {},
        "2999-01-01T00:00:00Z",
    )  # fmt: skip
    assert store.add([foreign]) == 1
    (shown,) = store.find(COMPARISON)
    assert (shown.device, shown.measured_at) == (foreign.device, foreign.measured_at)
    assert shown.imported_at is not None
    own = save(store)
    assert store.add([foreign, replace(foreign, device={"name": "elsewhere"})]) == 1
    assert [row.id for row in store.find(COMPARISON)] == [own]
    assert len(store.recent()) == 3


def test_imported_results_never_push_out_own_ones(tmp_path: Path) -> None:
    store = Store(tmp_path, limit_bytes=500_000)
    own = [save(store, noise=100_000) for _ in range(3)]
    many = [
        Stored("", COMPARISON.changed(seed=seed), "bnb-nf4", outcome(), png(noise=100_000), {}, {},
               "2025-01-01T00:00:00Z")
        for seed in range(4)
    ]  # fmt: skip
    with pytest.raises(StoreError, match=r"no room for these results: 0\.\d MB too many"):
        store.add(many)
    assert [row.id for row in store.recent()] == own[::-1]
    assert store.add(many[:1]) == 1


# Retention


def test_limit_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTLAB_DATA_LIMIT_MB", "0")
    store = Store(tmp_path)
    save(store)
    save(store)
    assert len(store.recent()) == 1
    monkeypatch.setenv("QUANTLAB_DATA_LIMIT_MB", "2 GB")
    with pytest.raises(InputError, match="QUANTLAB_DATA_LIMIT_MB: must be a whole number"):
        Store(tmp_path)


@pytest.mark.parametrize("old", OLD_ROWS, ids=lambda old: old["id"])
def test_rows_of_before_keep_their_text_and_id(old: dict[str, Any]) -> None:
    """Ids stand in links that people have; the rows were written before this test was."""
    image = b"image" if old["image"] else None
    stored = from_row(old["id"], old["measured_at"], None, old["record"], image)
    row = to_row(stored)
    assert {name: row[name] for name in ("id", "key", "record")} == {
        name: old[name] for name in ("id", "key", "record")
    }
    assert to_query(stored.comparison) == old["link"]
