"""What was measured on the very device leads, or scales what is predicted there, and says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantlab import functions
from quantlab.catalog.answer.choices import propose
from quantlab.catalog.answer.seconds import Timer
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.catalog.time import NOTHING, Basis, Known, Reason, Seconds, pace_from
from quantlab.cli import main
from quantlab.record.known import Measurements, runs_of
from quantlab.record.store.row import Stored
from quantlab.record.store.store import Store
from quantlab.ui.pick import view as pick_view
from quantlab.ui.pick.query import choices_of, known_of, read_query, rows_of
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
    return Measurements(CATALOG, lambda: store).of(DEV.id, CARD, None)


def test_what_was_run_with_these_settings_on_such_a_card_is_measured(tmp_path: Path) -> None:
    known = kept(tmp_path, stored("gguf-q4_k", 9.0))
    found = on(CARD.id, "gguf-q4_k", known)
    assert (found.low, found.mid, found.high) == (9.0, 9.0, 9.0)
    assert found.evidence == "measured"
    assert on(CARD.id, "gguf-q4_0", known).evidence == "predicted"  # of the same timing class


def test_a_staged_run_in_one_memory_is_found_again() -> None:
    """Nothing waits in host memory there: each image reads its parts anew, in the run as in what is
    predicted."""
    spark = next(gpu for gpu in GPUS.values() if gpu.unified and gpu.kind == "cuda")
    about = {"kind": "cuda", "name": "NVIDIA GB10", "memory_bytes": spark.bytes}
    row = stored("gguf-q4_k", 9.0, about)
    row = replace(row, outcome=replace(row.outcome, placement="staged"))
    plan, picture = parse_plan("gguf-q4_k", DEV), picture_of(DEV)
    known = Known(tuple(runs_of([row], CATALOG)))
    found = Timer(DEV, spark, picture, CATALOG, known=known).seconds(plan, "staged")
    assert isinstance(found, Seconds)
    assert (found.mid, found.evidence) == (9.0, "measured")


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


def save(store: Store, run: Stored) -> None:
    store.save(run.comparison, 0, run.outcome, None, run.device, run.versions)


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    """A page with the store that the command line of the same machine has."""
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    return Services(catalog=CATALOG, runner=None, store=Store())  # type: ignore[arg-type]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_page_programs_and_command_line_count_the_same_runs(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    assert services.store
    plan = "transformer=torchao-fp8dq,text_encoder_2=quanto-int8@compiled"
    asked = {"hardware": CARD.id, "ram": "64", "model": DEV.id, "memory": "", "bits": ""}
    query = read_query({**asked, "library": "", "needs": []})
    before = choices_of(query, known_of(query, services))
    assert not any("measured" in (choice.image_s_evidence or "") for choice in before)
    save(services.store, stored(plan, 9.0))
    save(services.store, stored("torchao-fp8dq@compiled", 9.0))
    options = ["--model", DEV.id, "--gpu", CARD.id, "--ram-gib", "64"]

    told = printed(capsys, "propose", *options)
    assert [choice["image_s_why"].startswith("measured: ") for choice in told].count(True) <= 1
    assert all("measured" in choice["image_s_why"] for choice in told)
    assert api.propose(services, DEV.id, gpu=CARD.id, ram_gib=64) == told
    choices = choices_of(query, known_of(query, services))
    assert [choice.image_s_why for choice in choices] == [row["image_s_why"] for row in told]

    known = known_of(query, services)
    table = pick_view.table(rows_of(query, known), query, CATALOG, known)
    assert "), measured" not in table  # of eager schemes, none of which was run
    save(services.store, stored("gguf-q4_k", 11.0))
    known = known_of(query, services)
    assert "11 s (11 to 11), measured" in pick_view.table(
        rows_of(query, known), query, CATALOG, known
    )
    told = printed(capsys, "predict", *options, "--plans", plan, "bnb-nf4")
    assert told[0]["image_s"] == {"low": 9.0, "mid": 9.0, "high": 9.0}
    assert "scaled by what was measured" in told[1]["image_s_why"]
    plans = [plan, "bnb-nf4"]
    rows = api.predict(services, plans, DEV.id, gpu=CARD.id, ram_gib=64)
    assert json.loads(json.dumps(rows)) == told
    found = functions.predict(plans, model=DEV.id, gpu=CARD.id, ram_gib=64)
    assert [row.as_dict()["image_s"] for row in found] == [row["image_s"] for row in told]

    asking = ["--model", DEV.id, "--gpu", CARD.id, "--need", "speed"]
    told = printed(capsys, "pick", *asking)
    assert api.recommend(services, model=DEV.id, gpu=CARD.id, needs=["speed"]) == told
    [row] = [row for row in told if row["scheme"] == "torchao-fp8dq"]
    assert "compiled 9 s, not " in "; ".join(row["reasons"])


def test_what_was_stored_meanwhile_counts_at_once_and_the_same_stays_the_same(
    services: Services,
) -> None:
    assert services.store
    measured = services.measured
    assert measured.of(DEV.id, CARD, None) is NOTHING
    before = measured.state
    save(services.store, stored("bnb-nf4", 9.0))
    assert measured.state != before
    known = measured.of(DEV.id, CARD, None)
    assert [run.seconds for run in known.runs] == [9.0]
    save(services.store, stored("bnb-nf4", 9.0, {**ABOUT, "name": "NVIDIA GeForce RTX 3090"}))
    assert measured.of(DEV.id, CARD, None) is known  # answers are kept by it
    services.store.delete(search="a fox")
    assert measured.of(DEV.id, CARD, None).runs == ()


def test_what_this_cpu_did_leaves_answers_about_cards_as_they_are(services: Services) -> None:
    assert services.store
    measured = services.measured
    cards, all_of_it = measured.card_state, measured.state
    save(services.store, stored("bnb-nf4", 9.0, {"kind": "cpu", "name": "a processor"}))
    assert measured.card_state == cards
    assert measured.state != all_of_it


def test_what_another_process_stored_or_removed_is_noticed(tmp_path: Path) -> None:
    """Answers are kept until then, however long that is."""
    mine, other = Store(tmp_path), Store(tmp_path)
    save(other, stored("bnb-nf4", 9.0))
    measured = Measurements(CATALOG, lambda: mine, look_s=0.0)

    def states() -> tuple[int, int]:
        return measured.card_state, measured.state

    first = states()
    assert states() == first
    assert measured.of(DEV.id, CARD, None).runs
    save(other, stored("bnb-nf4", 9.0, {"kind": "cpu", "name": "a processor"}))
    cpu = states()
    assert (cpu[0] == first[0], cpu[1] == first[1]) == (True, False)
    save(other, stored("bnb-nf4", 7.0))
    card = states()
    assert cpu[0] != card[0]
    assert len(measured.of(DEV.id, CARD, None).runs) == 2
    other.delete(search="a fox")
    assert states()[0] != card[0]
    assert measured.of(DEV.id, CARD, None).runs == ()


def test_a_plan_that_was_run_is_proposed_for_its_speed_though_predicted_to_be_slow(
    services: Services,
) -> None:
    assert services.store

    plan = "transformer=bnb-int8,text_encoder_2=bnb-int8"

    def fastest() -> dict[str, Any]:
        return api.propose(services, DEV.id, gpu=CARD.id, ram_gib=64)[0]

    assert fastest()["plan"] != plan
    save(services.store, stored(plan, 4.0))
    assert fastest()["plan"] == plan
    assert fastest()["image_s_why"].startswith("measured: ")


def test_no_steps_are_run_on_a_cpu_that_is_busy() -> None:
    measured = Measurements(CATALOG, lambda: None, lambda: True)
    assert measured.of(MINI.id, None, "cpu").pace(MINI.id) is None


def test_runs_of_other_cards_and_with_a_lora_are_left_alone(tmp_path: Path) -> None:
    elsewhere = {**ABOUT, "name": "NVIDIA GeForce RTX 3090"}
    assert kept(tmp_path, stored("bnb-nf4", 99.0, elsewhere)) is NOTHING
    assert list(runs_of([stored("bnb-nf4", 9.0, lora="owner/name")], CATALOG)) == []
    assert Measurements(CATALOG, lambda: None).of(DEV.id, CARD, None) is NOTHING


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
