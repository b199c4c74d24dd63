"""A sweep on Ray: the same rows as here, whatever happens to workers, nodes and the driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from ray.cluster_utils import Cluster

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.cli import main
from quantlab.errors import InputError
from quantlab.lab import libraries
from quantlab.record.results.export import Row
from quantlab.record.store.store import Store
from quantlab.record.sweeps import on_ray as sweep_ray
from quantlab.record.sweeps.on_ray import OnRay, cluster
from quantlab.record.sweeps.place import Here
from quantlab.record.sweeps.run import Step, run
from quantlab.record.sweeps.sweep import Sweep, make_sweep
from quantlab.words.outcome import Outcome
from tests.device import DEVICE

PROMPTS = ("a fox", "a cat")
PLANS = ("fp32", "bnb-nf4", "gguf-q4_0")
SMALL = {"include_dashboard": False, "object_store_memory": 100 * 2**20}
POOR_CPUS = 3
"""More than the first node has: a task of so many can only run on the one that lacks gguf."""

LACKING = """
    import importlib.machinery, importlib.metadata

    Finder = importlib.machinery.PathFinder
    find = Finder.find_spec

    def find_spec(cls, name, *more):
        return None if name.partition(".")[0] == "gguf" else find(name, *more)

    Finder.find_spec = classmethod(find_spec)
    known = importlib.metadata.version

    def version(name):
        if name == "gguf":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    importlib.metadata.version = version
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """A cluster of one node with two workers."""
    before = _ray_processes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, **SMALL})
    try:
        yield found
    finally:
        found.shutdown()
        _until(lambda: _ray_processes() <= before)


@pytest.fixture(scope="module")
def connected(nodes: Cluster) -> Iterator[None]:
    with cluster(nodes.address):
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUANTLAB_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums depend on how many threads add them up; a task of one CPU has one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _ray_processes() -> set[int]:
    names = ("raylet", "gcs_server")
    return {p.pid for p in psutil.process_iter(["name"]) if p.info["name"] in names}


def _until(done: Callable[[], bool], limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.1)


def _sweep(plans: tuple[str, ...] = PLANS, prompts: tuple[str, ...] = PROMPTS) -> Sweep:
    return make_sweep(plans, prompts, [0], steps=1, warmup=0, noise_floor=False)


def _on_ray(sweep: Sweep, store: Store, cpus: int = 1, **more: Any) -> list[Row]:
    return run(sweep, store, OnRay(sweep, cpus), **more)


def _figures(rows: list[Row]) -> list[tuple[object, ...]]:
    return [
        (
            *(row.comparison, row.outcome.status, dict(row.outcome.weights_bytes)),
            *(row.outcome.psnr_db, row.outcome.ssim, row.outcome.transformer_rel_l2),
        )
        for row in rows
    ]


def _images(store: Store) -> dict[tuple[str, str], bytes | None]:
    return {(row.plan, row.comparison.prompt): row.image_png for row in store.recent()}


@pytest.mark.usefixtures("connected", "one_thread")
def test_the_rows_are_those_of_a_sweep_here(tmp_path: Path) -> None:
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    rows = run(_sweep(), here, Here(_sweep(), load_catalog(), DEVICE))
    steps: list[Step] = []
    on_ray = _on_ray(_sweep(), there, say=steps.append)
    assert _figures(on_ray) == _figures(rows)
    assert _images(there) == _images(here)
    assert None not in _images(there).values()
    assert sorted(step.done for step in steps) == list(range(1, 7))
    assert steps[-1].left_s == 0
    device = on_ray[0].device
    assert device["process"] == "shared, Ray task of 1 CPU"
    assert {**device, "process": "shared"} == rows[0].device
    assert on_ray[0].versions == rows[0].versions
    again: list[Step] = []
    assert _figures(_on_ray(_sweep(), there, say=again.append)) == _figures(rows)
    assert again == []


@pytest.mark.usefixtures("connected")
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    sweep = _sweep(("fp32",), tuple(f"a fox {n}" for n in range(8)))
    store = Store(tmp_path)
    killed: list[int] = []

    def kill(step: Step) -> None:
        if step.done == 2:
            killed.extend(p.pid for p in _workers())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    rows = _on_ray(sweep, store, say=kill)
    assert len(killed) == 1
    assert [row.outcome.status for row in rows] == ["ok"] * 8
    assert len(store.recent(images=False)) == 8


def _workers() -> list[psutil.Process]:
    """Worker processes that run a task of a sweep; Ray puts the task's name in their title."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        if title.startswith("ray::work"):
            found.append(process)
    return found


@pytest.mark.usefixtures("connected")
def test_a_pair_that_kills_each_worker_is_a_failed_row_and_the_next_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = tmp_path / "tried"
    tried.touch()
    _be_deadly(monkeypatch, tried)
    outcomes = _outcomes(Store(tmp_path), seeds=[0, 1, 2, 9, 4])
    assert [(o.status, o.error and o.error.type) for o in outcomes] == [
        ("ok", None),
        ("failed", "WorkerCrashedError"),
        ("ok", None),
        ("failed", "ImportError"),
        ("ok", None),
    ]
    assert outcomes[1].error is not None
    assert outcomes[1].error.stage == "process"
    assert outcomes[3].error is not None
    assert outcomes[3].error.message == "the Ray worker: there is no such library"
    assert tried.read_text().split() == ["0", "1", "1", "2", "9", "4"]


@pytest.mark.usefixtures("connected")
def test_after_two_such_pairs_in_a_row_the_rest_is_left_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _be_deadly(monkeypatch, tmp_path / "tried")
    outcomes = _outcomes(Store(tmp_path), seeds=[0, 1, 3, 2])
    assert [o.status for o in outcomes] == ["ok", "failed", "failed"]


def _outcomes(store: Store, seeds: list[int]) -> list[Outcome]:
    sweep = make_sweep(["fp32"], ["a"], seeds, noise_floor=False)
    return [row.outcome for row in _on_ray(sweep, store)]


def _be_deadly(monkeypatch: pytest.MonkeyPatch, tried: Path) -> None:
    """Stands in for the task: an odd seed kills its worker, 9 raises, others cost nothing."""
    log = str(tried)

    def about(share: Any) -> Any:
        return {"process": share.process}, {"quantlab": "0"}

    def work(series: Any, *_: Any) -> Iterator[dict[str, Any]]:
        import os

        for comparison in series.comparisons:
            with open(log, "a") as file:
                file.write(f"{comparison.seed}\n")
            if comparison.seed == 9:
                raise ImportError("there is no such library")
            if comparison.seed % 2:
                os.kill(os.getpid(), 9)
            outcome = {"plan": str(comparison.plans[-1]), "status": "ok", "latency_s": [1.0]}
            some = {"png": None, "reference": None, "seconds": 1.0, "first": False}
            yield {"outcome": outcome, **some}

    monkeypatch.setattr(sweep_ray, "about", about)
    monkeypatch.setattr(sweep_ray, "work", work)


@pytest.fixture(scope="module")
def poor(
    connected: None,  # noqa: ARG001
    nodes: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """A second node, which lacks gguf; the last test that has it kills it."""
    folder = tmp_path_factory.mktemp("lacking")
    (folder / "sitecustomize.py").write_text(textwrap.dedent(LACKING))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        return nodes.add_node(num_cpus=POOR_CPUS, **SMALL)


@pytest.mark.usefixtures("poor")
def test_a_node_that_lacks_a_library_says_so_in_a_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = _on_ray(_sweep(prompts=PROMPTS[:1]), Store(tmp_path), cpus=POOR_CPUS)
    first, second, error = (row.outcome.error for row in rows)
    assert (first, second) == (None, None)
    assert error is not None
    assert error.stage == "check"
    assert "not installed: pip install gguf" in error.message
    assert "gguf" not in rows[2].versions
    assert rows[2].versions["torch"] == rows[0].versions["torch"]


def test_a_node_that_is_killed_in_the_middle_takes_nothing_with_it(
    nodes: Cluster, poor: Any, tmp_path: Path
) -> None:
    """Two nodes with room for one task each: after the reference's rows both have a plan of their
    own when the second is gone."""
    store = Store(tmp_path)
    sweep = _sweep(("fp32", "bnb-nf4", "bnb-fp4"), tuple(f"a fox {n}" for n in range(4)))
    busy: list[int] = []

    def kill(step: Step) -> None:
        if not busy and len(_workers()) == 2 and step.done > 4:
            busy.append(step.done)
            nodes.remove_node(poor, allow_graceful=False)

    rows = _on_ray(sweep, store, cpus=2, say=kill)
    assert busy
    assert busy[0] < 12
    assert [row.outcome.status for row in rows] == ["ok"] * 12
    kept = store.recent(images=False)
    assert len(kept) == len({(row.comparison, row.plan) for row in kept}) == 12


@pytest.mark.usefixtures("connected")
def test_a_share_that_no_node_has_is_refused() -> None:
    with pytest.raises(InputError, match="no node of the cluster has room for a Ray task of 64"):
        OnRay(_sweep(), cpus=64)


def test_a_driver_that_is_killed_goes_on_where_it_was_on_another_ray(
    nodes: Cluster, folder: Path
) -> None:
    plans, prompts = ("fp32", "bnb-nf4"), ("--prompt", *PROMPTS, "--steps", "1", "--warmup", "0")
    command = [sys.executable, "-m", "quantlab", "sweep", "--plans", *plans, *prompts]
    # Two CPUs for a task: one worker at a time, each of which imports everything.
    command += ["--no-noise-floor", "--json", "--ray-cpus", "2", "--ray"]
    before = _ray_processes()
    _kill_at("[2/", [*command, nodes.address])
    there = {row.id for row in Store(folder).recent(images=False)}
    assert len(there) in (2, 3)
    done = subprocess.run([*command, "local"], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)  # one document, whatever Ray has to say
    assert (document["rows"], document["missing"]) == (4, 0)
    assert f"{len(there)} are in the store already" in done.stderr
    kept = Store(folder).recent(images=False)
    assert there < {row.id for row in kept}
    assert len(kept) == len({(row.comparison, row.plan) for row in kept}) == 4
    _until(lambda: _ray_processes() <= before)


def _kill_at(sign: str, command: list[str]) -> None:
    with subprocess.Popen(
        command, cwd=PROJECT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if sign in line:
                process.send_signal(signal.SIGKILL)
                break


# Without a cluster


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ray-cpus", "2"], "ray-cpus: needs --ray"),
        (["--ray", "local", "--ray-cpus", "0"], "ray-cpus: 0; at least 1"),
        (["--ray", "local", "--ray-gpus", "-1"], "ray-gpus: -1; 0 to 64"),
        (["--ray", "nowhere"], "ray: nowhere; auto, local or HOST:PORT"),
        (["--ray", "ray://127.0.0.1:1"], "ray: ray://127.0.0.1:1; auto, local or HOST:PORT"),
        (["--ray", "127.0.0.1:1"], "ray: nothing answers at 127.0.0.1:1"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_wrong_arguments_about_ray_are_one_line(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "--plans", "fp32", "--prompt", "a", *arguments]) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"quantlab: {said}")
    assert len(err.splitlines()) == 1


@pytest.mark.usefixtures("folder")
def test_without_ray_the_way_to_get_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as Python marks what cannot be imported
    libraries.load.cache_clear()
    assert main(["sweep", "--plans", "fp32", "--prompt", "a", "--ray", "local"]) == 2
    libraries.load.cache_clear()
    said = capfd.readouterr()
    assert len(said.err.splitlines()) == 1
    assert "pip install -e '.[ray]'" in said.err
    assert said.out == ""
