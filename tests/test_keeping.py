"""An outcome is kept with its image, or comes back with the reason why it is not."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import StoreError, Unavailable
from quantlab.lab.runners.local import LocalRunner
from quantlab.lab.runners.runner import Machine
from quantlab.record.store.keeping import keep
from quantlab.record.store.store import Store
from quantlab.ui.compare import share
from quantlab.ui.programs import api
from quantlab.ui.services import Services
from quantlab.words.outcome import Finished, Outcome

COMPARISON = make_comparison(plans=["fp32"], prompt="a fox")


def machine() -> Machine:
    return {"name": "a desk"}, {"torch": "2"}


@pytest.fixture
def event(tmp_path: Path) -> Finished:
    path = tmp_path / "image.png"
    Image.new("RGB", (4, 4)).save(path)
    return Finished(0, Outcome("fp32", "ok", image=str(path)))


def test_what_is_kept_is_found_with_its_image(tmp_path: Path, event: Finished) -> None:
    store = Store(tmp_path / "store")
    kept = keep(store, COMPARISON, event, machine)
    assert kept.problem == ""
    assert kept.id is not None
    row = store.get(kept.id)
    assert row is not None
    assert row.image_png == kept.png
    assert Image.open(io.BytesIO(kept.png or b"")).size == (4, 4)
    assert dict(row.device) == {"name": "a desk"}


def test_without_a_store_there_is_no_problem(event: Finished) -> None:
    kept = keep(None, COMPARISON, event, machine)
    assert (kept.id, kept.problem) == (None, "")
    assert kept.png


def test_what_cannot_be_kept_comes_back_with_the_reason(tmp_path: Path, event: Finished) -> None:
    def unknown() -> Machine:
        raise Unavailable("no GPU worker has reported yet")

    store = Store(tmp_path / "store")
    kept = keep(store, COMPARISON, event, unknown)
    assert (kept.id, kept.problem) == (None, "no GPU worker has reported yet")
    assert event.outcome.image is not None
    Path(event.outcome.image).write_bytes(b"cut")
    assert "not a whole PNG" in keep(store, COMPARISON, event, machine).problem
    assert store.recent() == []


def test_the_command_goes_on_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> str:
        raise StoreError("The disk that holds the results is full.")

    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    monkeypatch.setattr(Store, "save", full)
    command = ["compare", "--json", "--plans", "fp32", "transformer=fp32", "--steps", "1"]
    assert main([*command, "--warmup", "0", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert [o["status"] for o in json.loads(printed.out)["outcomes"]] == ["ok", "ok"]
    assert printed.err.count("results are not kept: The disk that holds the results is full.") == 1


def test_reading_a_result_keeps_nothing_from_retention(tmp_path: Path, event: Finished) -> None:
    """Else anyone could pin them all, and fresh ones would go at once."""
    store = Store(tmp_path / "store", limit_bytes=0)
    services = Services(load_catalog(), LocalRunner(load_catalog()), store)
    read = str(keep(store, COMPARISON, event, machine).id)
    request: Any = SimpleNamespace(headers={"host": "h:1"})
    assert api.result(services, request, read)["id"] == read
    assert share.opened(f"r={read}", services) is not None
    newer = keep(store, COMPARISON, event, machine).id
    assert [row.id for row in store.recent()] == [newer]
