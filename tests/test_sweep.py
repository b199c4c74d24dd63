"""Sweeps: resumed after a kill, whatever the store does, and summed up as by hand."""

from __future__ import annotations

import contextlib
import io
import json
import math
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import Ending, InputError, StoreError
from quantlab.lab.runners import series as series_module
from quantlab.record.results.export import Row
from quantlab.record.store.store import Store
from quantlab.record.sweeps import place as sweep_place
from quantlab.record.sweeps.place import Here
from quantlab.record.sweeps.run import run as run_at
from quantlab.record.sweeps.statistics import Point, interval, on_front, spread, summarize
from quantlab.record.sweeps.sweep import Sweep, make_sweep, role, summaries
from quantlab.record.sweeps.table import to_tidy_csv
from quantlab.words.outcome import Failure, Outcome
from tests.device import DEVICE

PROMPTS = ("a fox", "=1+1, a cat")
PLANS = ("fp32", "bnb-nf4")


def run(sweep: Sweep, store: Store, **more: Any) -> list[Row]:
    """The sweep on this machine."""
    return run_at(sweep, store, Here(sweep, load_catalog(), DEVICE), **more)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    return tmp_path


def small(**more: Any) -> Sweep:
    return make_sweep(PLANS, PROMPTS, [0], steps=1, **more)


# What is to be measured


def test_the_reference_comes_first_then_itself_again_then_the_others_each_once() -> None:
    sweep = make_sweep(["fp32", "bnb-nf4", "transformer=bnb-nf4"], ["a", "b", "a"], [0, 1, 0])
    assert [lane.plan for lane in sweep.lanes] == ["fp32", "fp32", "bnb-nf4"]
    assert [role(lane.comparisons[0]) for lane in sweep.lanes] == ["reference", "again", "plan"]
    pairs = [(c.prompt, c.seed) for c in sweep.lanes[2].comparisons]
    assert pairs == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert sweep.total == 12


@pytest.mark.parametrize(
    ("plans", "prompts", "seeds", "part"),
    [
        ([], ["a"], [0], "plans"),
        (["fp32"], [], [0], "prompts"),
        (["fp32"], ["a"], [], "seeds"),
        (["fp32"], ["a"], [-1], "seed"),
        (["fp33"], ["a"], [0], "plan"),
    ],
)
def test_what_is_wrong_is_named_before_anything_runs(
    plans: list[str], prompts: list[str], seeds: list[int], part: str
) -> None:
    with pytest.raises(InputError, match=f"^{part}: "):
        make_sweep(plans, prompts, seeds)


def test_bad_arguments_of_the_command_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called = [f"--{part}={tmp_path / 'x.xls'}" for part in ("summary", "out")]
    ways = (["--prompts", str(tmp_path)], ["--repeats", "0"], ["--seeds", "-1"])
    for wrong in (*ways, *([each] for each in called)):
        assert main(["sweep", *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


# For real: killed at any moment, and on it goes


@pytest.mark.usefixtures("folder")
def test_a_killed_sweep_goes_on_and_measures_nothing_twice() -> None:
    command = ["--plans", *PLANS, "--prompt", *PROMPTS, "--steps", "1"]
    rows_before = _kill_after(4, [sys.executable, "-m", "quantlab", "sweep", *command])
    there: list[int] = []
    new: list[Any] = []
    rows = run(small(), Store(), start=there.append, say=new.append)
    assert there == [rows_before]
    assert len(new) == 6 - rows_before
    assert len(rows) == 6
    kept = Store().recent(1000, images=False)
    assert len(kept) == 6
    assert len({(row.comparison, row.plan) for row in kept}) == 6
    assert all(row.outcome.status == "ok" for row in rows)
    nf4 = [row.outcome for row in rows if row.outcome.plan == "bnb-nf4"]
    assert all(o.psnr_db and (o.transformer_rel_l2 or 0) > 0 for o in nf4)
    again = [row.outcome for row in rows if role(row.comparison) == "again"]
    assert [(o.psnr_db, o.ssim, o.transformer_rel_l2) for o in again] == [(None, None, 0.0)] * 2
    plans, floor = summaries(rows)
    assert floor is not None
    assert floor.identical == 2
    assert [plan.plan for plan in plans] == list(PLANS)
    _check_table(to_tidy_csv(rows))


def _kill_after(rows: int, command: list[str]) -> int:
    """Kill the command at its ``rows``-th row; gives how many rows the store has then."""
    with subprocess.Popen(
        command, cwd=PROJECT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if f"[{rows}/" in line:
                process.send_signal(signal.SIGKILL)
                break
    kept = len(Store().recent(1000, images=False))
    assert kept >= rows
    return kept


def _check_table(text: str) -> None:
    table = pd.read_csv(io.StringIO(text))
    assert len(table) == 6
    assert list(table["plan"]) == ["fp32"] * 4 + ["bnb-nf4"] * 2
    assert list(table["role"]) == ["reference"] * 2 + ["again"] * 2 + ["plan"] * 2
    assert table["prompt"][1] == "'=1+1, a cat"
    assert (table["weights_bytes"][:4] > 2 * table["weights_bytes"][5]).all()
    assert table["identical"].sum() == 2
    assert (table["noise_floor_rel_l2"] == 0).all()
    assert table["noise_floor_psnr_db"].isna().all()  # the images are identical
    assert table["measured_at"].notna().all()
    assert {"device_name", "version_torch", "version_weights", "peak_bytes"} <= set(table)


@pytest.mark.usefixtures("folder")
def test_each_plan_in_a_process_of_its_own() -> None:
    sweep = make_sweep(PLANS, PROMPTS[:1], [0], steps=1, isolate=True, noise_floor=False)
    rows = run(sweep, Store())
    assert [row.outcome.status for row in rows] == ["ok", "ok"]
    assert (rows[1].outcome.transformer_rel_l2 or 0) > 0
    assert rows[0].device["process"] == "one per plan"


# With outcomes that cost nothing, for what the store does


@pytest.fixture
def free_runs(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:  # noqa: ARG001
    """Stands in for the runs; gives the plans that were run, one for each pair."""
    ran: list[str] = []

    def outcomes(series: Any, *_: Any) -> Iterator[Outcome]:
        for comparison in series.comparisons:
            plan = str(comparison.plans[-1])
            ran.append(plan)
            series.references.mkdir(parents=True, exist_ok=True)
            series_module.reference_path(series.references, comparison).touch()
            failure = Failure("load", "LoadError", "no") if plan == "torchao-int8wo" else None
            status: Any = "failed" if failure else "ok"
            yield Outcome(plan=plan, status=status, latency_s=(1.0,), error=failure)

    monkeypatch.setattr(sweep_place, "run_series", outcomes)
    return ran


def test_what_was_measured_otherwise_is_measured_again(free_runs: list[str]) -> None:
    run(small(), Store())
    run(small(), Store())
    assert len(free_runs) == 6
    run(small(repeats=2), Store())
    run(small(warmup=0), Store())
    assert len(free_runs) == 18


def test_a_mix_that_was_tuned_anew_is_measured_again_and_what_was_held_against_it(
    free_runs: list[str], tmp_path: Path
) -> None:
    mix, other = "mix-flux-mini-3_5", "bnb-nf4"
    sweeps = [
        make_sweep(plans, ["a"], [0], noise_floor=False, steps=1)
        for plans in ((mix, other), (other, mix))
    ]
    for sweep in (*sweeps, *sweeps):
        (*_, row) = run(sweep, Store())
        assert len(row.versions["mixes"]) == 12
    assert free_runs == [mix, other, other, mix]
    known = load_catalog()
    held = known.schemes[mix]
    changed = next(layer for layer, scheme in held.layers.items() if scheme.id == "gguf-q3_k")
    matters = tmp_path / "importance.safetensors"
    matters.write_bytes(b"other")
    for anew in (
        replace(held, layers={**held.layers, changed: known.schemes["gguf-q4_k"]}),
        replace(held, importance=str(matters)),
    ):
        free_runs.clear()
        catalog = replace(known, schemes={**known.schemes, mix: anew})
        for plans in ((mix, other), (other, mix)):
            run(make_sweep(plans, ["a"], [0], noise_floor=False, steps=1, catalog=catalog), Store())
        assert free_runs == [mix, other, mix]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("said", [KeyboardInterrupt, ValueError, None])
def test_an_interrupted_sweep_says_so_in_one_line_and_goes_on(
    said: type[BaseException] | None,
    free_runs: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where a library makes an error of its own of it, or loses it."""
    command = ["sweep", "--plans", *PLANS, "--prompt", "a", "b", "--no-noise-floor"]
    ending = Ending()

    free: Any = sweep_place.run_series

    def interrupted(*of: Any) -> Iterator[Outcome]:
        for outcome in free(*of):
            with contextlib.suppress(KeyboardInterrupt):
                ending.ask(signal.SIGUSR1)
            yield outcome
            if said is not None:
                raise said

    before = signal.getsignal(signal.SIGUSR1)
    with monkeypatch.context() as patch:
        patch.setattr(sweep_place, "run_series", interrupted)
        assert main(command, ending) == 128 + signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "quantlab: interrupted; what was measured is kept: the same command goes on"
    )
    assert main(command) == 0
    assert len(free_runs) == 4


def test_a_failure_is_a_row_until_it_is_to_be_tried_again(free_runs: list[str]) -> None:
    sweep = make_sweep(["fp32", "torchao-int8wo"], ["a"], [0], noise_floor=False)
    for _ in range(2):
        assert [row.outcome.status for row in run(sweep, Store())] == ["ok", "failed"]
    assert free_runs == ["fp32", "torchao-int8wo"]
    run(sweep, Store(), retry=True)
    assert free_runs[2:] == ["torchao-int8wo"]


def test_a_lost_reference_is_made_again_but_is_no_new_row(
    free_runs: list[str], folder: Path
) -> None:
    run(make_sweep(["fp32"], PROMPTS, [0], noise_floor=False), Store())
    for path in folder.glob("cache/sweep/*/*.pt"):
        path.unlink()
    run(make_sweep(PLANS, PROMPTS, [0], noise_floor=False), Store())
    assert free_runs == ["fp32", "fp32", "fp32", "fp32", "bnb-nf4", "bnb-nf4"]
    assert len(Store().recent()) == 4


@pytest.mark.usefixtures("free_runs")
def test_a_full_store_ends_the_sweep_and_it_goes_on_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = Store.save
    store = Store()

    def full(self: Store, *arguments: Any) -> Any:
        if len(self.recent()) == 2:
            raise StoreError("The disk that holds the results is full")
        return save(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save", full)
        with pytest.raises(StoreError, match="full"):
            run(small(), store)
    assert len(store.recent()) == 2
    there: list[int] = []
    assert len(run(small(), store, start=there.append)) == 6
    assert there == [2]


def test_a_corrupt_store_is_set_aside_and_the_sweep_begins_anew(
    free_runs: list[str], folder: Path
) -> None:
    run(small(), Store())
    for path in folder.glob("results.sqlite*"):
        path.unlink()
    (folder / "results.sqlite").write_bytes(b"not a database" * 1000)
    assert len(run(small(), Store())) == 6
    assert len(free_runs) == 12
    assert list(folder.glob("results.sqlite.broken-*"))


@pytest.mark.usefixtures("free_runs")
def test_the_command_prints_one_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = folder / "prompts.txt"
    prompts.write_text("# of the model's own kind\na fox\n\na cat\n")
    out, summary = folder / "table.csv", folder / "summary.csv"
    command = ["sweep", "--plans", *PLANS, "--prompts", str(prompts), "--seeds", "0", "1"]
    assert main([*command, "--json", "--out", str(out), "--summary", str(summary)]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert (document["rows"], document["missing"]) == (12, 0)
    assert document["prompts"] == ["a fox", "a cat"]
    assert [plan["plan"] for plan in document["plans"]] == list(PLANS)
    assert document["noise_floor"]["latency_ratio"]["median"] == 1
    assert "[12/12] bnb-nf4: done; 0:00 left" in said.err
    assert (document["device"]["process"], document["other_machines"]) == ("shared", [])
    assert len(pd.read_csv(out)) == 12
    table = pd.read_csv(summary)
    assert list(table["role"]) == ["plan", "plan", "again"]
    assert list(table["latency_ratio_median"]) == [1, 1, 1]
    assert main([*command, "--summary", str(folder / "summary.md")]) == 0
    shown = (folder / "summary.md").read_text()
    assert "4 pairs of prompt and seed" in shown
    assert "| bnb-nf4 | 4 |" in shown
    assert "1 (1 to 1)" in shown  # of four equal latencies


def test_a_process_that_dies_is_a_failed_row_and_the_next_pair_is_tried(tmp_path: Path) -> None:
    outcomes = _apart(tmp_path, seeds=[0, 1, 2, 4])
    assert [o.status for o in outcomes] == ["ok", "failed", "ok", "ok"]
    error = outcomes[1].error
    assert error is not None
    assert (error.stage, error.type) == ("process", "ChildDied")
    assert "SIGSEGV" in error.message


def test_a_process_that_is_killed_says_what_would_fit(tmp_path: Path) -> None:
    error = _apart(tmp_path, seeds=[7, 0])[0].error
    assert error is not None
    assert "SIGKILL), probably for want of memory. Predicted to fit here: " in error.message


def test_after_two_deaths_in_a_row_the_rest_is_left_for_later(tmp_path: Path) -> None:
    outcomes = _apart(tmp_path, seeds=[1, 0, 3, 5, 2])
    assert [o.status for o in outcomes] == ["failed", "ok", "failed", "failed"]


def _apart(folder: Path, seeds: list[int]) -> list[Outcome]:
    lane = make_sweep(["fp32"], ["a"], seeds, noise_floor=False).lanes[0]
    series = series_module.Series(lane.comparisons, folder, folder)
    return list(
        series_module.run_apart(
            series, threading.Event(), load_catalog(), DEVICE, "tests.series_stand_in"
        )
    )


# Statistics, against values worked out by hand


def outcome(latency_s: float, peak_bytes: int = 100, **scores: float) -> Outcome:
    return Outcome(
        plan="p",
        status="ok",
        latency_s=(latency_s,),
        weights_bytes={"transformer": 10, "vae": 5},
        peak_bytes=peak_bytes,
        scores=scores,
    )


def test_a_summary_is_what_one_gets_by_hand() -> None:
    reference = {("a", n): outcome(1.0 + n) for n in range(4)}
    outcomes = {
        ("a", 0): outcome(2.0, 300, psnr_db=20.0, ssim=0.5, transformer_rel_l2=0.1),
        ("a", 1): outcome(4.0, psnr_db=30.0, ssim=0.7, transformer_rel_l2=0.2),
        ("a", 2): outcome(9.0, transformer_rel_l2=0.0),  # identical
        ("a", 3): Outcome(plan="p", status="failed", error=Failure("run", "RunError", "boom")),
    }
    got = summarize("p", outcomes, reference)
    assert (got.pairs, got.failed, got.error, got.identical) == (4, 1, "run: boom", 1)
    assert (got.weights_bytes, got.peak_bytes) == (15, 300)
    assert got.latency_s is not None
    assert (got.latency_s.q1, got.latency_s.median, got.latency_s.q3) == (3.0, 4.0, 6.5)
    assert got.latency_ratio is not None  # 2/1, 4/2, 9/3
    assert (got.latency_ratio.median, got.latency_ratio.q3) == (2.0, 2.5)
    assert got.psnr_db is not None
    assert (got.psnr_db.n, got.psnr_db.median) == (2, 25.0)
    ssim, one_step = got.scores["ssim"], got.scores["transformer_rel_l2"]
    assert ssim is not None
    assert (ssim.n, ssim.median) == (3, 0.7)
    assert one_step is not None
    assert one_step.median == 0.1


def test_intervals() -> None:
    assert interval((3.0,)) == (None, None)
    assert interval((3.0, 3.0, 3.0)) == (3.0, 3.0)
    assert spread([]) is None
    # Of two values the median of a draw is either or their mean, with odds 1:2:1.
    assert interval((1.0, 2.0)) == (1.0, 2.0)
    values = tuple(np.random.default_rng(1).normal(10, 1, 100))
    low, high = interval(values)
    assert low is not None
    assert high is not None
    # The standard error of a normal sample's median is 1.2533 / sqrt(n).
    width = 2 * 1.96 * 1.2533 * float(np.std(values)) / math.sqrt(100)
    assert high - low == pytest.approx(width, rel=0.5)
    assert low < float(np.median(values)) < high
    assert interval(values) == (low, high)


@pytest.mark.parametrize(
    ("points", "front"),
    [
        (
            [(4, 4, math.inf, math.inf), (2, 5, 30, 30), (2, 6, 30, 30), (1, 9, 9, 11)],
            [True, True, False, True],
        ),
        ([(4, 4, 20, 20), (4, 4, 20, 20)], [True, True]),
        ([(4, 4, 20, 22), None, (3, 3, 39, 41)], [False, False, True]),
        # Intervals that overlap rank nothing, nor does a single picture; the reference is sure.
        ([(4, 4, 20, 24), (3, 3, 23, 27)], [True, True]),
        ([(4, 4, -math.inf, math.inf), (3, 3, 39, 41)], [True, True]),
        ([(4, 4, -math.inf, math.inf), (3, 3, math.inf, math.inf)], [False, True]),
    ],
)
def test_the_front_is_what_nobody_surely_beats(
    points: list[tuple[float, float, float, float] | None], front: list[bool]
) -> None:
    assert on_front([None if p is None else Point(*p) for p in points]) == front


def test_a_sweep_without_its_reference_has_no_summary() -> None:
    with pytest.raises(StoreError):
        summaries([])
