"""The process beside the page's, in which comparisons run: what goes in, comes out, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.errors import PlanError, RunError
from quantlab.lab.runners.beside import BesideRunner
from quantlab.record.documents import placed_script
from quantlab.words.outcome import Finished, Progress

PROMPT = "a fox on a white background"
SMALL = make_comparison(plans=["fp32", "fp32"], prompt=PROMPT, steps=1, width=64, height=64)
ALONE = (
    "from quantlab.lab.runners.beside import BesideRunner;"
    "runner = BesideRunner(); runner.start(); print('begun', flush=True); input()"
)


@pytest.fixture(scope="module")
def runner() -> Iterator[BesideRunner]:
    found = BesideRunner()
    found.start()
    yield found
    for each in workers(psutil.Process()):
        each.kill()


def workers(parent: psutil.Process) -> list[psutil.Process]:
    there = parent.children()
    return [each for each in there if "quantlab.lab.runners.beside_worker" in each.cmdline()]


def test_events_and_whole_pictures_come_from_there(runner: BesideRunner, tmp_path: Path) -> None:
    events = list(runner.stream(SMALL, out=tmp_path, stop=threading.Event()))
    first, again = [event.outcome for event in events if isinstance(event, Finished)]
    assert isinstance(events[0], Progress)
    assert (first.status, again.status, again.psnr_db) == ("ok", "ok", None)
    Image.open(first.image or "").verify()
    assert Path(first.image or "").read_bytes() == Path(again.image or "").read_bytes()
    device, versions = runner.machine()
    assert device["memory_bytes"] == psutil.virtual_memory().total
    assert {"torch", "diffusers"} <= versions.keys()
    assert len(workers(psutil.Process())) == 1


def test_it_stops_at_the_next_step(runner: BesideRunner, tmp_path: Path) -> None:
    stop, outcomes = threading.Event(), []
    for event in runner.stream(SMALL.changed(steps=50), out=tmp_path, stop=stop):
        stop.set()
        if isinstance(event, Finished):
            outcomes.append(event.outcome)
    assert [each.error.stage for each in outcomes if each.error] == ["stopped", "stopped"]


def test_what_it_raises_comes_as_it_was(runner: BesideRunner) -> None:
    wrong = make_comparison(model="flux1-dev", plans=["bnb-nf4@compiled"], prompt=PROMPT)
    with pytest.raises(PlanError) as caught:
        runner.do(placed_script, wrong, "nowhere", "cuda")
    assert caught.value.part == "plan"
    assert str(caught.value).count("plan: ") == 1
    asked = (placed_script, SMALL, "resident", "")
    assert "max_sequence_length=32" in runner.do(*asked)
    assert runner.do_alone(*asked) == runner.do(*asked)


def test_a_plan_that_ends_it_is_a_failed_outcome_and_the_next_runs(
    runner: BesideRunner, tmp_path: Path
) -> None:
    (worker,) = workers(psutil.Process())
    asked = make_comparison(plans=["fp32"] * 3, prompt=PROMPT, steps=50, width=64, height=64)
    found = []
    for event in runner.stream(asked, out=tmp_path, stop=threading.Event()):
        if isinstance(event, Finished):
            found.append(event)
        elif event.index == 1:
            worker.kill()
    assert [event.index for event in found] == [0, 1, 2]
    first, killed, last = (event.outcome for event in found)
    assert killed.error is not None
    assert killed.error.stage == "process"
    assert "was ended by signal 9 (SIGKILL), probably for want of memory" in killed.error.message
    assert (first.status, last.status, last.transformer_rel_l2) == ("ok", "ok", 0)
    (other,) = workers(psutil.Process())
    assert other.pid != worker.pid


def test_what_leaves_a_thread_there_is_told_here(runner: BesideRunner) -> None:
    with pytest.raises(RunError, match="SystemExit"):
        runner.do(sys.exit)


def test_it_ends_where_the_page_ended_while_it_was_starting() -> None:
    someone = "0"  # nobody's parent
    command = [sys.executable, "-m", "quantlab.lab.runners.beside_worker", someone]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE) as orphan:
        try:
            assert orphan.wait(60) == 1
        finally:
            orphan.kill()


def test_it_ends_with_the_page() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ALONE], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as page:
        assert page.stdout is not None
        assert page.stdout.readline() == b"begun\n"
        until = time.monotonic() + 10
        while not (begun := workers(psutil.Process(page.pid))) and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(page.pid, signal.SIGKILL)
    gone, left = psutil.wait_procs(begun, timeout=10)
    assert (len(gone), left) == (1, [])
