"""How comparisons behave: order, sharing, stopping, faults, isolation."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.lab import libraries
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.load import pool as pooling
from quantlab.lab.runners.isolated import compare_isolated
from quantlab.lab.runners.local import LocalRunner
from quantlab.words.outcome import Event, Finished, Outcome, Progress
from tests.device import DEVICE

PROMPT = "a fox on a white background"


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(load_catalog(), DEVICE)


def test_a_repeated_reference_is_identical_to_the_bit(bench: Bench, tmp_path: Path) -> None:
    comparison = make_comparison(plans=["fp32", "fp32"], prompt=PROMPT, steps=3)
    first, again = compare(comparison, bench=bench, out=tmp_path)
    assert (again.psnr_db, again.ssim, again.transformer_rel_l2) == (None, None, 0.0)
    assert first.image != again.image
    assert Path(first.image or "").read_bytes() == Path(again.image or "").read_bytes()


def test_the_parts_add_up_and_repeats_are_counted(bench: Bench, tmp_path: Path) -> None:
    comparison = make_comparison(plans=["fp32"], prompt=PROMPT, steps=4)
    (outcome,) = compare(comparison, bench=bench, out=tmp_path, repeats=3)
    assert len(outcome.latency_s) == 3
    assert outcome.encode_s is not None
    assert outcome.step_s is not None
    assert outcome.decode_s is not None
    parts = outcome.encode_s + 4 * outcome.step_s + outcome.decode_s
    assert parts == pytest.approx(sorted(outcome.latency_s)[1], rel=0.5)
    assert outcome.peak_kind == "rss"
    assert (outcome.peak_bytes or 0) > sum(outcome.weights_bytes.values())


def test_outcomes_come_in_order_and_the_first_before_the_second_starts(
    bench: Bench, tmp_path: Path
) -> None:
    comparison = make_comparison(plans=["fp32", "torchao-int8wo"], prompt=PROMPT, steps=2)
    events: list[Event] = []
    compare(comparison, bench=bench, out=tmp_path, report=events.append)
    done = next(i for i, e in enumerate(events) if isinstance(e, Finished))
    assert all(event.index == 0 for event in events[: done + 1])
    texts = [event.text for event in events if isinstance(event, Progress)]
    assert "run 1, step 2 of 2" in texts


def test_a_failure_is_a_row_and_the_others_finish(bench: Bench, tmp_path: Path) -> None:
    plans = ["torchao-fp8dq", "fp32", "torchao-int4wo", "bnb-nf4"]
    comparison = make_comparison(plans=plans, prompt=PROMPT, steps=2)
    outcomes = compare(comparison, bench=bench, out=tmp_path)
    assert [o.status for o in outcomes] == ["failed", "ok", "failed", "ok"]
    error = outcomes[0].error
    assert error is not None
    assert error.stage == "check"
    assert "the nearest that runs here is" in error.message
    assert outcomes[3].psnr_db is None  # the reference failed: nothing to be held against


def test_a_broken_library_is_a_row_with_its_import_error(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries.load.cache_clear()
    monkeypatch.setitem(sys.modules, "sdnq", None)
    comparison = make_comparison(plans=["sdnq-int8", "fp32"], prompt=PROMPT, steps=1)
    broken, fine = compare(comparison, bench=bench, out=tmp_path, warmup=0)
    libraries.load.cache_clear()
    assert broken.error is not None
    assert (broken.error.stage, broken.error.type) == ("check", "Unavailable")
    assert "sdnq is not available: import of sdnq halted" in broken.error.message
    assert fine.status == "ok"


def test_stop_ends_at_the_next_step(bench: Bench, tmp_path: Path) -> None:
    comparison = make_comparison(plans=["fp32", "bnb-nf4"], prompt=PROMPT, steps=50)
    stop = threading.Event()
    steps: list[str] = []

    def report(event: Event) -> None:
        if isinstance(event, Progress) and "step" in event.text:
            steps.append(event.text)
            stop.set()

    outcomes = compare(comparison, bench=bench, out=tmp_path, report=report, stop=stop)
    assert [o.error.stage for o in outcomes if o.error] == ["stopped", "stopped"]
    assert len(steps) == 1
    assert list(tmp_path.glob("*")) == []


def test_what_does_not_fit_is_refused_before_it_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = replace(DEVICE, host_free_bytes=lambda: 2**20)
    monkeypatch.setattr(pooling.Pool, "load", lambda *_: pytest.fail("loaded"))
    comparison = make_comparison(plans=["fp32"], prompt=PROMPT)
    (outcome,) = compare(comparison, bench=Bench(load_catalog(), full), out=tmp_path)
    assert outcome.error is not None
    assert outcome.error.type == "DoesNotFit"
    assert "MiB more at its peak" in outcome.error.message
    assert "Predicted to fit here: " in outcome.error.message


def test_memory_held_for_later_is_given_up_before_a_plan_is_refused(tmp_path: Path) -> None:
    full = False

    def free() -> int:
        """As little as if everything but one kept transformer filled the machine."""
        waiting = any(key.scheme == "bnb-nf4" for key in bench.pool.held())
        return 2**20 if full and waiting else 2**30

    bench = Bench(load_catalog(), replace(DEVICE, host_free_bytes=free))
    first = make_comparison(plans=["fp32", "bnb-nf4"], prompt=PROMPT, steps=1)
    compare(first, bench=bench, out=tmp_path, warmup=0)
    full = True
    again = make_comparison(plans=["torchao-int8wo"], prompt=PROMPT, steps=1)
    (outcome,) = compare(again, bench=bench, out=tmp_path, warmup=0)
    assert outcome.status == "ok", outcome.error
    assert "bnb-nf4" not in {key.scheme for key in bench.pool.held()}


def test_the_pool_keeps_to_its_budget(tmp_path: Path) -> None:
    bench = Bench(load_catalog(), DEVICE, 0)
    comparison = make_comparison(plans=["fp32", "bnb-nf4", "fp32"], prompt=PROMPT, steps=1)
    assert all(o.status == "ok" for o in compare(comparison, bench=bench, out=tmp_path))
    assert {key.scheme for key in bench.pool.held()} == {None}


def test_isolated_plans_give_the_same_images(bench: Bench, tmp_path: Path) -> None:
    plans = ["fp32", "transformer=torchao-int8wo,text_encoder_2=bnb-nf4"]
    comparison = make_comparison(plans=plans, prompt=PROMPT, steps=2)
    here = compare(comparison, bench=bench, out=tmp_path / "here", warmup=0)
    apart = compare_isolated(
        comparison, catalog=load_catalog(), device=DEVICE, out=tmp_path / "apart", warmup=0
    )
    for a, b in zip(here, apart, strict=True):
        assert Path(a.image or "").read_bytes() == Path(b.image or "").read_bytes()
        assert (a.psnr_db, a.ssim) == (b.psnr_db, b.ssim)
        assert a.transformer_rel_l2 == b.transformer_rel_l2
        assert a.weights_bytes == b.weights_bytes


def test_a_killed_child_is_a_failed_row(tmp_path: Path) -> None:
    comparison = make_comparison(plans=["fp32", "bf16"], prompt=PROMPT, steps=2)
    killed: list[int] = []

    def kill_first(event: Event) -> None:
        if isinstance(event, Progress) and not killed:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            killed.extend(int(pid) for pid in children if _is_ours(int(pid)))
            os.kill(killed[-1], signal.SIGKILL)

    outcomes: list[Outcome] = compare_isolated(
        comparison, catalog=load_catalog(), device=DEVICE, out=tmp_path, report=kill_first
    )
    assert outcomes[0].error is not None
    assert (outcomes[0].error.stage, outcomes[0].error.type) == ("process", "ChildDied")
    said, _, named = outcomes[0].error.message.partition(" Predicted to fit here: ")
    assert said == (
        "The process of this plan was ended by signal 9 (SIGKILL), probably for want of memory."
    )
    smaller = make_comparison(plans=[named.partition(", ")[0]], prompt=PROMPT)
    weights = [predict("flux-mini", c.plans[0]).total_bytes for c in (smaller, comparison)]
    assert weights[0] < weights[1]
    assert outcomes[1].status == "ok"


def _is_ours(pid: int) -> bool:
    return b"quantlab.lab.runners.isolated" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_the_runner_streams_events_and_images_are_whole(tmp_path: Path) -> None:
    comparison = make_comparison(plans=["fp32", "torchao-int8wo"], prompt=PROMPT, steps=2)
    seen = 0
    for event in LocalRunner(load_catalog()).stream(
        comparison, out=tmp_path, stop=threading.Event()
    ):
        if isinstance(event, Finished):
            Image.open(event.outcome.image or "").verify()
            seen += 1
    assert seen == 2


def test_warming_up_gives_way_to_whoever_presses_run(tmp_path: Path) -> None:
    runner, begun = LocalRunner(load_catalog()), threading.Event()
    asked = make_comparison(plans=["fp32"], prompt=PROMPT, steps=1, width=64, height=64)
    warming = threading.Thread(
        target=runner.warm_up,
        args=(asked.changed(steps=50), tmp_path / "warm", lambda _: begun.set()),
    )
    warming.start()
    assert begun.wait(60)
    *_, last = runner.stream(asked, out=tmp_path / "run", stop=threading.Event())
    warming.join()
    assert isinstance(last, Finished)
    assert last.outcome.status == "ok"
    assert not list(tmp_path.glob("warm/*.png"))  # given up on the way


def test_what_is_stored_quantized_is_not_quantized_again(tmp_path: Path) -> None:
    catalog = load_catalog()
    mini = catalog.models["flux-mini"]
    copy = tmp_path / "model"
    shutil.copytree(PROJECT / mini.source, copy)
    config = copy / "transformer" / "config.json"
    stored = json.loads(config.read_text()) | {"quantization_config": {"quant_method": "torchao"}}
    config.write_text(json.dumps(stored))
    models = {"flux-mini": replace(mini, source=str(copy))}
    bench = Bench(replace(catalog, models=models), DEVICE)
    comparison = make_comparison(plans=["bnb-nf4"], prompt=PROMPT, steps=1)
    (outcome,) = compare(comparison, bench=bench, out=tmp_path / "out", warmup=0)
    assert outcome.error is not None
    assert outcome.error.type == "PlanError"
    assert "twice" in outcome.error.message
