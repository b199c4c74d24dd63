"""What was measured on the very device leads, or scales what is predicted there, and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quantlab.catalog.answer.choices import propose
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.catalog.time import NOTHING, Basis, Known, Reason, Seconds, pace_from
from quantlab.cli import main
from quantlab.record.known import known_of_card, runs_of
from quantlab.record.store.row import Stored
from quantlab.record.store.store import Store
from quantlab.ui.programs import api
from quantlab.ui.services import Services
from quantlab.words.outcome import Outcome

CATALOG = load_catalog()
GPUS = load_gpus()
CARD, OTHER = GPUS["rtx-4090-24gb"], GPUS["rtx-3090-24gb"]
ABOUT = {"kind": "cuda", "name": "NVIDIA GeForce RTX 4090", "memory_bytes": CARD.bytes}
DEV, MINI = CATALOG.models["flux1-dev"], CATALOG.models["flux-mini"]
PACE = pace_from([(48, 0.010), (96, 0.016)], [(64**2, 0.004), (128**2, 0.016)], 0.002)


def stored(plan: str, seconds: float, about: dict[str, Any] = ABOUT, **more: Any) -> Stored:
    asked = make_comparison(model="flux1-dev", plans=[plan], prompt="a fox", **more)
    outcome = Outcome(plan, "ok", latency_s=(seconds,), placement="resident")
    return Stored("x", asked, plan, outcome, None, about, {}, "2026-11-26T00:00:00Z")


def on(card: str, plan: str, known: Known = NOTHING) -> Seconds:
    found = predict(DEV.id, parse_plan(plan, DEV), gpu=GPUS[card], known=known, catalog=CATALOG)
    assert found.on_card is not None
    assert isinstance(found.on_card.image_s, Seconds)
    return found.on_card.image_s


def kept(tmp_path: Path, *rows: Stored) -> Known:
    store = Store(tmp_path)
    for row in rows:
        store.save(row.comparison, 0, row.outcome, None, row.device, row.versions)
    return known_of_card(CARD, CATALOG, store)


def test_what_was_run_with_these_settings_on_such_a_card_is_measured(tmp_path: Path) -> None:
    known = kept(tmp_path, stored("gguf-q4_k", 9.0))
    found = on(CARD.id, "gguf-q4_k", known)
    assert (found.low, found.mid, found.high) == (9.0, 9.0, 9.0)
    assert found.evidence == "measured"
    assert on(CARD.id, "gguf-q4_0", known).evidence == "predicted"  # of the same timing class


def test_a_run_on_the_card_scales_what_is_predicted_there_and_says_so(tmp_path: Path) -> None:
    plain = on(CARD.id, "bnb-nf4")
    run = stored("bnb-nf4", 1.5 * plain.mid)
    known = kept(tmp_path, run)
    other_size = predict(
        DEV.id, parse_plan("bnb-nf4", DEV), width=512, height=512, gpu=CARD, catalog=CATALOG
    )
    scaled = predict(
        DEV.id, parse_plan("bnb-nf4", DEV), width=512, height=512, gpu=CARD, known=known
    )
    before, after = (found.on_card.image_s for found in (other_size, scaled) if found.on_card)
    assert isinstance(before, Seconds)
    assert isinstance(after, Seconds)
    assert after.mid == pytest.approx(1.5 * before.mid)
    assert Basis.SCALED in after.basis
    assert "scaled by what was measured" in scaled.as_dict()["image_s_why"]  # type: ignore[operator]
    answer = propose(model="flux1-dev", gpu=CARD.id, ram_gib=64, known=known)
    assert all("scaled by what was measured" in choice.image_s_why for choice in answer.choices)


def test_a_pages_programs_hear_of_what_its_store_has(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = stored("torchao-int8dq@compiled", 9.0)
    store.save(run.comparison, 0, run.outcome, None, run.device, run.versions)
    services = Services(catalog=CATALOG, runner=None, store=store)  # type: ignore[arg-type]
    for choice in api.propose(services, "flux1-dev", gpu=CARD.id, ram_gib=64):
        assert "scaled by what was measured" in choice["image_s_why"]


def test_runs_of_other_cards_and_with_a_lora_are_left_alone(tmp_path: Path) -> None:
    elsewhere = {**ABOUT, "name": "NVIDIA GeForce RTX 3090"}
    assert kept(tmp_path, stored("bnb-nf4", 99.0, elsewhere)) == NOTHING
    assert list(runs_of([stored("bnb-nf4", 9.0, lora="owner/name")], CATALOG)) == []
    assert known_of_card(CARD, CATALOG, None) == NOTHING


def test_on_a_cpu_the_pace_gives_seconds_for_the_model_as_it_is() -> None:
    known = Known(paces=((MINI.id, PACE),))
    answer = propose(model="flux-mini", hardware="cpu", memory_gib=8, known=known)
    first = answer.choices[0]
    assert first.plan == "fp32"
    assert first.image_s
    assert first.image_s.mid == pytest.approx(0.002 + 8 * 0.016 + 0.016)
    assert "steps at two sizes" in first.image_s_why
    untimed = propose(model="flux-mini", hardware="cpu", memory_gib=8, bits=4, known=known)
    assert untimed.choices[0].image_s_why == Reason.CPU_SCHEME.text
    nobody = propose(model="flux-mini", hardware="cpu", memory_gib=8)
    assert nobody.choices[0].image_s_why == Reason.CPU.text


def test_this_cpu_is_asked_by_running_steps(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--model", "flux-mini", "--plans", "fp32", "--hardware", "cpu", "--json"]
    assert main(["predict", *asked]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["placement"] == "resident"
    assert 0 < row["image_s"]["low"] < row["image_s"]["mid"] < row["image_s"]["high"] < 600
    assert row["image_s_why"].startswith("predicted: from steps at two sizes")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--hardware", "cuda"], "memory-gib: say how much memory the cuda device has"),
        (["--ram-gib", "16"], "ram-gib: goes with --gpu or --hardware"),
        (["--gpu", "rtx 4090", "--memory-gib", "24"], "memory-gib: is what gpu says already"),
        (["--hardware", "tpu"], "hardware: unknown hardware 'tpu'"),
    ],
)
def test_half_a_device_is_an_error(
    more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--model", "flux1-dev", "--plans", "bf16", *more]) == 2
    assert said in capsys.readouterr().err
