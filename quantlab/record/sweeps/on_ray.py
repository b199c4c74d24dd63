"""A sweep on Ray: one task per plan, on one machine or a cluster; Ray decides what runs where.

A worker yields plain values and PNG bytes as each pair is done, and this process alone writes them
to the store. The code and data/ travel with the job; libraries are those of the node, and a node
that lacks one gives failed rows that say so. What the reference plan leaves travels as bytes, so
that nodes need no shared disk.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import quantlab
from quantlab.catalog.paths import PACKAGE, PROJECT
from quantlab.errors import InputError, Unavailable, first_line
from quantlab.lab.libraries import load
from quantlab.lab.runners.series import Series, reference_path
from quantlab.record.sweeps.place import Circumstances, Measured, process
from quantlab.record.sweeps.sweep import Sweep
from quantlab.record.sweeps.task import Share, about, keep, references, work
from quantlab.words.outcome import Failure, Outcome

__all__ = ["OnRay", "cluster"]

RETRIES = 1
"""How often a pair whose worker dies is tried again before it is a failed row."""
MAX_DEATHS = 2
"""After so many failed rows of dead workers in a row, the rest of a plan is left for later."""
POLL_S = 0.5
CONNECT_S = 10.0
OBJECT_STORE_BYTES = 256 * 2**20
"""Holds images and what the reference left; Ray spills to disk what is more."""
SENT = ("quantlab", "data")


@contextlib.contextmanager
def cluster(address: str) -> Iterator[None]:
    """Connect to Ray at ``address``: host:port, "auto", or "local" for one of its own that ends.

    Raises:
        InputError: Ray is not installed, or there is none at ``address``.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        ray = load("ray")
    except Unavailable as error:
        raise InputError(
            "ray", f"{error}; pip install -e '.[ray]' in the project's folder adds it"
        ) from None
    more: dict[str, Any] = {}
    if address == "local":
        more = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    else:
        _reach(address)
    # Ray prints the deaths of workers to stdout, which belongs to the result.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            asked_to_end = signal.getsignal(signal.SIGTERM)
            ray.init(
                address,
                runtime_env=_environment(),
                log_to_driver=False,
                logging_level="ERROR",
                **more,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError("ray", f"no Ray to use at {address}: {first_line(error)}") from None
        if threading.current_thread() is threading.main_thread():  # Ray has put its own there
            signal.signal(signal.SIGTERM, asked_to_end)
        try:
            yield
        finally:
            ray.shutdown()


def _reach(address: str) -> None:
    """Ray itself tries for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise InputError("ray", f"{address}; auto, local or HOST:PORT of the head node is allowed")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise InputError("ray", f"nothing answers at {address}: {error.strerror}") from None


def _environment() -> dict[str, Any]:
    """What travels with the job: of a checkout what a worker needs of it.

    An installed package stays where it is: the workers have it too.
    """
    if PROJECT == PACKAGE:
        return {}
    left_behind = [f"/{path.name}" for path in PROJECT.iterdir() if path.name not in SENT]
    return {"working_dir": str(PROJECT), "excludes": left_behind}


@dataclass
class _Lane:
    """One plan on its way through the cluster; ``series`` is what is left of it."""

    series: Series
    about: Circumstances
    deaths: int = 0
    failed: int = 0


class OnRay:
    """A Ray cluster that ``cluster`` has connected to, each plan with its own share of it.

    ``gpus`` is 1 where nodes have them and none is given.

    Raises:
        InputError: no node has such a share.
    """

    def __init__(self, sweep: Sweep, cpus: int = 1, gpus: float | None = None) -> None:
        self._ray = load("ray")
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        if gpus is None:
            gpus = float(any(node["Resources"].get("GPU") for node in nodes))
        self._options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 0}
        share = f"Ray task of {cpus} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        self._share = Share(
            sweep.model, f"{process(sweep)}, {share}", sweep.warmup, sweep.isolate, cpus
        )
        places = {node["NodeID"]: _room(node["Resources"], cpus, gpus) for node in nodes}
        self._nodes = [node for node, room in places.items() if room]
        self.workers = sum(places.values())
        if not self._nodes:
            raise InputError("ray", f"no node of the cluster has room for a {share}")

    def machines(self) -> Sequence[Circumstances]:
        """One for each node that is up and answers, and one for a node that never did."""
        pinned = load("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        ask = self._ray.remote(**self._options)(about)
        answers = [
            ask.options(scheduling_strategy=pinned(node, soft=False)).remote(self._share)
            for node in self._nodes
        ]
        found = [self._unheard()]
        for answer in answers:
            with contextlib.suppress(self._ray.exceptions.RayError):
                found.append(self._ray.get(answer))
        return found

    def _unheard(self) -> Circumstances:
        device = {"process": self._share.process, "warmup_runs": self._share.warmup}
        return device, {"quantlab": quantlab.__version__}

    def measure(self, lanes: Sequence[Series], stop: threading.Event) -> Iterator[Measured]:
        """All plans at once, as far as there is room; a pair whose worker dies is tried again."""
        left = self._ray.put(references(lanes))
        task_of = self._ray.remote(num_returns="streaming", **self._options)(work)
        running: dict[Any, _Lane] = {}

        def submit(lane: _Lane) -> None:
            if lane.series.comparisons and lane.failed < MAX_DEATHS:
                running[task_of.remote(lane.series, self._share, left)] = lane

        for series in lanes:
            submit(_Lane(series, self._unheard()))
        while running and not stop.is_set():
            ready, _ = self._ray.wait(list(running), num_returns=1, timeout=POLL_S)
            for stream in ready:
                lane = running[stream]
                try:
                    event = self._ray.get(next(stream))
                except StopIteration:
                    del running[stream]
                except self._ray.exceptions.RayError as error:
                    del running[stream]
                    yield from _lost(lane, error)
                    submit(lane)
                else:
                    yield from _heard(lane, event)


def _room(resources: Mapping[str, float], cpus: int, gpus: float) -> int:
    """How many tasks of this share a node holds."""
    room = resources.get("CPU", 0) // cpus
    return int(min(room, resources.get("GPU", 0) // gpus) if gpus else room)


def _heard(lane: _Lane, event: Mapping[str, Any]) -> Iterator[Measured]:
    if "about" in event:
        lane.about = event["about"]
        return
    comparison = lane.series.comparisons[0]
    if event["reference"] is not None:
        keep(reference_path(lane.series.references, comparison), event["reference"])
    outcome = Outcome.from_dict(event["outcome"])
    yield Measured(comparison, outcome, event["png"], event["seconds"], event["first"], lane.about)
    lane.series = replace(lane.series, comparisons=lane.series.comparisons[1:])
    lane.deaths = lane.failed = 0


def _lost(lane: _Lane, error: Exception) -> Iterator[Measured]:
    """The task is gone: a failed row, but for a dead worker's pair, which is tried once more."""
    lane.deaths += 1
    cause = getattr(error, "cause", None)  # what the task raised, where the worker lives
    if cause is None and lane.deaths <= RETRIES:
        return
    cause = cause or error
    failure = Failure("process", type(cause).__name__, f"the Ray worker: {first_line(cause)}")
    comparison = lane.series.comparisons[0]
    outcome = Outcome(plan=str(comparison.plans[-1]), status="failed", error=failure)
    yield Measured(comparison, outcome, None, 0.0, False, lane.about)
    lane.series = replace(lane.series, comparisons=lane.series.comparisons[1:])
    lane.deaths, lane.failed = 0, lane.failed + 1
