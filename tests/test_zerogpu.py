"""A ZeroGPU Space rehearsed: the real client, a stand-in for its service, a CPU for a GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import OWN_MODELS, PROJECT
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.lab.hub.admit import admit
from quantlab.lab.load.reader import Reader
from quantlab.lab.runners.beside import BesideRunner
from quantlab.lab.runners.choose import choose_runner
from quantlab.lab.runners.zerogpu import ZeroGpuRunner
from quantlab.lab.runners.zerogpu_cost import gpu_seconds
from quantlab.lab.runners.zerogpu_limits import refusal
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Finished, Outcome
from tools.twins import build

PNG = b"\x89PNG".hex()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the rehearsal's child saw, scenario by scenario."""
    folder = tmp_path_factory.mktemp("zerogpu")
    pids = folder / "pids"
    build("flux3", folder / "twin")
    with pytest.MonkeyPatch.context() as own:
        own.setenv(OWN_MODELS, "")
        twin = admit(str(folder / "twin")).id
        given = dict(os.environ)
    command = [sys.executable, "-m", "tests.zerogpu_child", str(pids), twin]
    try:
        run = subprocess.run(
            command, cwd=PROJECT, env=given, capture_output=True, text=True, timeout=240
        )
        assert run.returncode == 0, run.stderr[-3000:]
        yield json.loads(run.stdout.splitlines()[-1])
    finally:
        for pid in json.loads(pids.read_text()) if pids.exists() else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def names(calls: list[list[Any]]) -> list[str]:
    return [name for name, _ in calls]


def test_a_comparison_runs_in_one_forked_call(seen: dict[str, Any]) -> None:
    plain = seen["plain"]
    assert names(seen["log"])[0] == "startup-report"
    assert names(plain["calls"]) == ["schedule", "allow", "release"]
    assert plain["calls"][2][1]["fail"] == "false"
    assert int(plain["calls"][1][1]["pid"]) != seen["pid"]
    assert plain["order"] == [0, 1, 2]
    assert [o["status"] for o in plain["outcomes"]] == ["ok", "ok", "failed"]
    assert "step 2 of 2" in plain["texts"]


def test_the_half_card_is_asked_for_the_seconds_that_were_shown(seen: dict[str, Any]) -> None:
    asked = seen["plain"]["calls"][0][1]
    assert asked["gpuSize"] == "large"
    assert int(asked["durationSeconds"]) == seen["plain"]["quota"]


def test_images_come_back_as_files_and_nothing_else_is_left(seen: dict[str, Any]) -> None:
    assert seen["plain"]["pngs"] == [["1-fp32.png", PNG], ["2-quanto-int8.png", PNG]]
    first, second, _ = seen["plain"]["outcomes"]
    assert first["psnr_db"] is None
    assert second["psnr_db"] > 20
    assert second["weights_bytes"]["transformer"] < first["weights_bytes"]["transformer"] / 3
    assert any("without a warm-up" in note for note in first["notes"])


def test_the_parent_never_imports_quanto(seen: dict[str, Any]) -> None:
    assert seen["modules"] == []


def test_a_pipeline_of_blocks_runs_in_the_worker_with_and_without_its_prompt_writer(
    seen: dict[str, Any],
) -> None:
    blocks = seen["blocks"]
    assert [o["status"] for o in blocks["outcomes"]] == ["ok", "ok", "ok", "failed"]
    whole, quantized, written, compiled = blocks["outcomes"]
    assert "prompt_upsampler" not in whole["weights_bytes"]
    assert quantized["weights_bytes"]["transformer"] < whole["weights_bytes"]["transformer"]
    assert 0 < quantized["transformer_rel_l2"] < 0.1
    assert written["weights_bytes"]["prompt_upsampler"] > 0
    assert "torch.compile is not possible on ZeroGPU" in compiled["error"]["message"]
    asked = blocks["calls"][0][1]
    assert int(asked["durationSeconds"]) == blocks["quota"]


def test_compiled_plans_are_refused_with_the_reason(seen: dict[str, Any]) -> None:
    error = seen["plain"]["outcomes"][2]["error"]
    assert error["stage"] == "check"
    assert "torch.compile is not possible on ZeroGPU" in error["message"]
    assert "bf16 runs" in error["message"]


def test_an_idle_worker_is_used_again_and_a_refused_reference_gives_no_scores(
    seen: dict[str, Any],
) -> None:
    warm = seen["warm"]
    assert names(warm["calls"]) == ["schedule", "release"]
    assert warm["order"] == [0, 1]
    assert [o["status"] for o in warm["outcomes"]] == ["failed", "ok"]
    assert warm["outcomes"][1]["psnr_db"] is None


def test_stop_ends_the_worker_s_run_and_names_what_was_stopped(seen: dict[str, Any]) -> None:
    stopped = seen["stop"]
    assert [o["error"]["stage"] for o in stopped["outcomes"]] == ["stopped", "stopped"]
    assert sum(text.startswith("step") for text in stopped["texts"]) < 10
    assert names(stopped["calls"])[-1] == "release"
    assert stopped["pngs"] == []


def test_a_used_up_quota_is_said_as_such(seen: dict[str, Any]) -> None:
    assert "quota does not cover this comparison" in seen["quota"]["error"]
    assert seen["quota"]["outcomes"] == []
    assert names(seen["quota"]["calls"]) == ["schedule"]
    visitor = seen["visitor"]
    assert f"({visitor['quota']}s requested vs. 12s left). Try again in 1:00:00" in visitor["error"]
    assert visitor["calls"][0][1]["token"] == "x.e30.x"
    assert "x.e30.x" not in visitor["error"]


def test_the_queue_is_waited_for_until_it_gives_up(seen: dict[str, Any]) -> None:
    assert [o["status"] for o in seen["queue"]["outcomes"]] == ["ok"]
    assert "no GPU became free" in seen["timeout"]["error"]
    assert "no GPU is available at the moment" in seen["busy"]["error"]


def test_a_worker_that_dies_is_a_failed_plan(seen: dict[str, Any]) -> None:
    first, second, third = seen["death"]["outcomes"]
    assert first["error"]["stage"] == second["error"]["stage"] == "process"
    assert "the GPU worker died" in first["error"]["message"]
    assert "not run" in second["error"]["message"]
    assert third["error"]["stage"] == "check"
    assert seen["death"]["order"] == [0, 1, 2]
    assert seen["death"]["calls"][-1][1]["fail"] == "true"


def test_a_service_that_is_gone_is_an_error_for_people(seen: dict[str, Any]) -> None:
    assert "the GPU service does not answer" in seen["nobody"]["error"]


def flux(*plans: str, **more: Any) -> Comparison:
    return make_comparison(model="flux1-dev", plans=plans, prompt="a fox", **more)


def seconds(comparison: Comparison, recorded: dict[str, Outcome] | None = None) -> int:
    return gpu_seconds(
        comparison,
        comparison.plans,
        repeats=1,
        warmup=0,
        catalog=load_catalog(),
        recorded=recorded or {},
    )


def test_seconds_grow_with_work_and_with_slow_schemes() -> None:
    one = seconds(flux("bf16", steps=10))
    assert seconds(flux("bf16", steps=20)) > one
    assert seconds(flux("bf16", steps=10, width=512, height=512)) < one
    assert one < seconds(flux("bf16", "bnb-nf4", steps=10)) < 2 * one
    assert seconds(flux("torchao-int8dq", steps=10)) > 4 * one
    assert seconds(make_comparison(plans=["fp32"], prompt="")) < 30


def test_recorded_times_replace_predicted_ones() -> None:
    comparison = flux("bf16", "bnb-nf4")
    known = Outcome(plan="bf16", status="ok", load_s=10.0, latency_s=(20.0, 21.0))
    both = {"bf16": known, "bnb-nf4": replace(known, plan="bnb-nf4")}
    assert seconds(comparison, both) == round(15 + 2 * 1.4 * 31 + 0.5)


def test_the_rule_of_42_gib_refuses_before_a_gpu_is_asked_for() -> None:
    catalog = load_catalog()
    fits, large = flux("bf16"), flux("fp32")
    assert refusal(fits, fits.plans[0], catalog) is None
    assert "up to 42.0 GiB" in str(refusal(large, large.plans[0], catalog))


@pytest.mark.parametrize("text", ["fp32", "bf16", "transformer=fp32", "bnb-nf4", "gguf-q8_0"])
def test_what_is_refused_is_what_the_table_says_does_not_fit_the_half_card(text: str) -> None:
    catalog = load_catalog()
    for model in ("flux1-dev", "flux2-klein-4b"):
        comparison = make_comparison(model=model, plans=[text], prompt="a fox")
        plan = comparison.plans[0]
        fits = predict(model, plan, catalog=catalog).fits["zerogpu-half"]
        assert (refusal(comparison, plan, catalog) is None) == (fits != "no")


def test_downloads_come_before_the_gpu_and_fail_as_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside a Space ``spaces.GPU`` changes nothing: all runs in this process."""
    from quantlab.errors import LoadError
    from quantlab.lab.runners import zerogpu

    def fetch(_: Reader, model: Any, keys: Any, say: Any, used: Any) -> None:
        say(f"downloading {model.source}")
        if keys["transformer"].scheme is not None:
            raise LoadError("is gated")
        assert set(used) == set(keys)  # nothing of the plan is left for the GPU's seconds

    def call(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
        plan = Outcome(plan=job["comparison"]["plans"][0], status="ok").as_dict()
        yield {"device": {"kind": "cuda"}, "versions": {}}
        yield {"index": 0, "outcome": {**plan, "psnr_db": 1.0}, "name": None, "png": None}

    monkeypatch.setattr(Reader, "fetch", fetch)
    monkeypatch.setattr(zerogpu, "resolve", lambda _: None)
    runner = ZeroGpuRunner(load_catalog())
    monkeypatch.setattr(runner, "_call", call)
    events = list(runner.stream(flux("bnb-nf4", "bf16"), out=tmp_path, stop=threading.Event()))
    done = [event for event in events if isinstance(event, Finished)]
    assert [event.index for event in done] == [0, 1]
    assert done[0].outcome.error is not None
    assert (done[0].outcome.error.stage, done[0].outcome.error.message) == ("load", "is gated")
    assert (done[1].outcome.status, done[1].outcome.psnr_db) == ("ok", None)
    assert runner.machine()[0] == {"kind": "cuda"}


def test_the_runner_is_chosen_by_the_environment() -> None:
    assert isinstance(choose_runner({}), BesideRunner)
    assert isinstance(choose_runner({"SPACES_ZERO_GPU": "false"}), BesideRunner)
    assert isinstance(choose_runner({"SPACES_ZERO_GPU": "true"}), ZeroGpuRunner)


def test_outside_a_space_nothing_of_it_is_imported() -> None:
    code = (
        "import sys; from quantlab.lab.runners.choose import choose_runner;"
        "from quantlab.catalog.table import load_catalog; choose_runner({});"
        "none = ('spaces', 'torch', 'quantlab.lab.runners.zero');"
        "print([m for m in sys.modules if m.startswith(none)])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
