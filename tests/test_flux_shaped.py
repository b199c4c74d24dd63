"""The FLUX-shaped benchmark: its mini scale is run whole, what only a GPU shows is not claimed."""

from __future__ import annotations

import csv
import json
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel

from benchmarks.flux_shaped import model as shaped_model
from benchmarks.flux_shaped import run as flux_shaped
from benchmarks.flux_shaped import visits as shaped_visits
from benchmarks.flux_shaped.rows import AIMS, MARK, Row, figures, show
from quantlab.catalog.paths import own_descriptions
from quantlab.catalog.table import load_catalog
from quantlab.lab.load.reader import Reader
from tests.device import DEVICE

EAGER = ("bf16", "torchao-int8wo", "torchao-fp8wo", "bnb-nf4")
"""In the order of their one-step errors."""
NVIDIA = {"device": "NVIDIA H200", "device_kind": "cuda"}


@dataclass(frozen=True)
class Ran:
    """What one run of the benchmark left: exit status, lines, and the CSV file's rows."""

    status: int
    lines: list[str]
    rows: dict[str, dict[str, str]]

    @property
    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lines[-1])
        return found


def run(folder: Path, *arguments: str) -> Ran:
    out, said = folder / "rows.csv", StringIO()
    with redirect_stdout(said):
        status = flux_shaped.main(["--scale", "mini", "--out", str(out), *arguments])
    with out.open(encoding="utf-8", newline="") as lines:
        rows = {row["plan"]: row for row in csv.DictReader(lines)}
    return Ran(status, said.getvalue().splitlines(), rows)


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    schemes = (*reversed(EAGER), "torchao-fp8dq")
    return run(tmp_path_factory.mktemp("shaped"), "--schemes", *schemes)


def test_every_plan_has_a_complete_row(mini: Ran) -> None:
    assert mini.status == 0
    assert set(mini.rows) == {*EAGER, "torchao-fp8dq"}
    assert next(iter(mini.rows)) == "bf16"  # the reference, though it was named last
    for name in EAGER:
        row = mini.rows[name]
        assert (row["status"], row["reason"], row["mode"]) == ("ok", "", "eager")
        off_cuda = {"allocated_bytes", "reserved_bytes", "driver", "cuda", "reason"}
        assert {key for key, value in row.items() if value == ""} == off_cuda
        assert len(row["rounds_s"].split()) == 2
        assert float(row["step_s"]) > 0
        assert float(row["load_s"]) > 0
        assert int(row["run_peak_bytes"]) > int(row["total_bytes"])
        assert row["torch"] == torch.__version__


def test_bytes_are_those_predicted(mini: Ran) -> None:
    for name in EAGER:
        row = mini.rows[name]
        for kind in ("weights", "total"):
            predicted = int(row[f"predicted_{kind}_bytes"])
            assert int(row[f"{kind}_bytes"]) == pytest.approx(predicted, rel=0.005)
    assert mini.figures["bytes_error"] <= 0.005
    sizes = [int(mini.rows[name]["weights_bytes"]) for name in EAGER]
    assert sizes[3] < 0.3 * sizes[0]
    assert sizes[1] < 0.55 * sizes[0]


def test_one_step_errors_are_in_the_order_of_the_schemes(mini: Ran) -> None:
    errors = [float(mini.rows[name]["rel_l2"]) for name in EAGER]
    assert errors == sorted(errors)
    assert errors[0] == 0
    assert errors[1] > 0.001
    assert errors[3] < 0.3


def test_what_cannot_run_is_a_row_with_its_reason(mini: Ran) -> None:
    row = mini.rows["torchao-fp8dq"]
    assert row["status"] == "failed"
    assert "needs a CUDA device" in row["reason"]
    assert row["step_s"] == ""
    assert any(row["reason"] in line for line in mini.lines)


def test_all_is_marked_and_nothing_is_claimed_for_cuda(mini: Ran) -> None:
    assert {row["note"] for row in mini.rows.values()} == {MARK}
    assert mini.lines[0] == MARK
    assert [mini.figures[name] for name in AIMS] == [None] * len(AIMS)
    said = [line for line in mini.lines if line.split(" ")[0] in AIMS]
    assert len(said) == len(AIMS)
    assert all(line.endswith("not measured") for line in said)


def test_flux2_compiled_by_regions_and_a_backend_that_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler's tracing is real; its C++ is left out, which takes minutes on a small CPU."""
    cls = shaped_model.resolve("diffusers.Flux2Transformer2DModel")
    real, read, asked = cls.compile_repeated_blocks, Reader.read, []

    def traced(self: Any, **settings: Any) -> None:
        asked.append(settings)
        real(self, backend="eager", **settings)

    def broken(self: Any, model: Any, key: Any, *more: Any) -> Any:
        if key.scheme == "layerwise-fp8":
            raise RuntimeError("the kernel is not here\nmore")
        return read(self, model, key, *more)

    monkeypatch.setitem(flux_shaped.ROUNDS, "mini", 1)
    monkeypatch.setattr(cls, "compile_repeated_blocks", traced)
    monkeypatch.setattr(Reader, "read", broken)
    ran = run(
        tmp_path, "--model", "flux2-klein-4b", "--schemes", "layerwise-fp8", "torchao-int8wo",
        "--modes", "eager", "compiled",
    )  # fmt: skip
    assert asked == [{"fullgraph": True}] * 2
    assert ran.figures["bytes_error"] <= 0.005
    assert {row["model"] for row in ran.rows.values()} == {"flux2-klein-4b"}
    for scheme in ("bf16", "torchao-int8wo"):
        eager, compiled = ran.rows[scheme], ran.rows[f"{scheme}@compiled"]
        assert (eager["status"], compiled["status"], compiled["mode"]) == ("ok", "ok", "compiled")
        assert float(compiled["rel_l2"]) == pytest.approx(float(eager["rel_l2"]), abs=0.01)
    assert ran.rows["layerwise-fp8"]["reason"] == "RuntimeError: the kernel is not here"
    assert ran.figures["failed"] == 2


def test_no_transformer_is_held_between_plans_and_nothing_after_memory_ran_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with shaped_model.shaped("flux1-dev", "mini") as subject:
        bench = shaped_visits.Bench(subject)
        parts = {key.component for key in bench._pool.held()}
        assert parts == {"text_encoder", "text_encoder_2", "vae"}
        plan = flux_shaped.plans("flux1-dev", ("torchao-int8wo",), ("eager",))[1]

        def full(*_: Any, **__: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        with monkeypatch.context() as patch:
            patch.setattr(FluxTransformer2DModel, "forward", full)
            with pytest.raises(torch.OutOfMemoryError):
                bench.visit(plan)
        assert bench._pool.held() == ()
        after = bench.visit(plan)
        assert after.load_s is None  # the shared parts were loaded with it
        assert {key.component for key in bench._pool.held()} == parts
        assert subject.model.id in own_descriptions()
    assert subject.model.id not in own_descriptions()


def test_a_plan_without_time_says_so(tmp_path: Path) -> None:
    ran = run(tmp_path, "--schemes", "bf16", "--minutes", "0")
    assert ran.rows["bf16"]["reason"] == "not measured: the time was over"
    assert (ran.figures["failed"], ran.figures["bytes_error"]) == (1, None)


def test_full_size_is_loaded_as_the_listed_model_from_a_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(shaped_model, "_write", lambda *given: asked.append(given))
    with shaped_model.shaped("flux1-dev", "full") as subject:
        ((model, small, folder),) = asked
        assert (model.id, small) == ("flux1-dev", {})
        assert (subject.model.id, subject.model.local) == ("flux1-dev", True)
        assert subject.model.source == str(folder)
        asks = subject.comparison
        assert (asks.width, asks.height, asks.sequence_length, asks.steps) == (1024, 1024, 512, 1)
        assert subject.catalog.models["flux1-dev"] is subject.model
    assert not load_catalog().models["flux1-dev"].local
    assert not folder.parent.exists()


def test_full_size_is_refused_without_a_large_gpu_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small: Any = SimpleNamespace(usable_bytes=lambda: 24 * 2**30)
    for name, there in (("cpu", 0), ("cuda", 24)):
        device = replace(DEVICE, target=name, counters=small)
        monkeypatch.setattr(flux_shaped, "this_device", lambda device=device: device)
        assert flux_shaped.main(["--schemes", "bf16"]) == 2
        said = capsys.readouterr().err
        assert f"; {there} are here. --scale mini runs anywhere\n" in said
        assert said.count("\n") == 1
    assert flux_shaped.main(["--scale", "mini", "--schemes", "int3"]) == 2
    assert "unknown scheme 'int3'" in capsys.readouterr().err


def row(plan: str, size: int, *rounds: float, allocated: int = 1000) -> Row:
    scheme, _, mode = plan.partition("@")
    return Row(
        "flux1-dev", "full", plan, scheme, mode or "eager", "ok", weights_bytes=size,
        predicted_weights_bytes=size, total_bytes=1000, predicted_total_bytes=1000,
        allocated_bytes=allocated, step_s=sum(rounds) / len(rounds), rounds_s=rounds,
    )  # fmt: skip


def test_the_aims_are_ratios_of_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        row("bf16", 100, 0.39, 0.40, 0.41, allocated=1008),
        row("bf16@compiled", 100, 0.25),
        row("torchao-fp8dq@compiled", 50, 0.16),
        row("bnb-nf4", 28, 0.48, allocated=996),
    ]
    got = figures(rows, NVIDIA)
    assert {name: got[name] for name in AIMS} == {
        "prediction_error": 0.008,
        "bf16_compiled_speedup": 1.6,
        "fp8dq_compiled_speedup": 2.5,
        "nf4_latency_ratio": 1.2,
        "nf4_bytes_ratio": 0.28,
        "variation": 0.05,
    }
    show(rows, NVIDIA)
    said = dict(line.split(" ", 1) for line in capsys.readouterr().out.splitlines() if line)
    met = {name: said[name].endswith("met") for name in AIMS}
    assert met == dict.fromkeys(AIMS, True) | {"nf4_latency_ratio": False, "variation": False}
    alone = figures(rows[:1], NVIDIA)
    assert (alone["bf16_compiled_speedup"], alone["nf4_bytes_ratio"]) == (None, None)
    assert all(figures(rows, {**NVIDIA, "device_kind": "rocm"})[name] is None for name in AIMS)


def test_on_cuda_a_step_is_what_the_events_say(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing
            self.at = -1.0

        def record(self) -> None:
            self.at = now

        def elapsed_time(self, end: Event) -> float:
            return end.at - self.at

    def step() -> None:
        nonlocal now
        now += 400.0

    waited: list[bool] = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(True))
    assert shaped_visits._seconds(step, 3, replace(DEVICE, target="cuda")) == [0.4, 0.4, 0.4]
    assert waited == [True]
