"""One plan in a process of its own, so that load time and peak memory are its alone.

A child that crashes or is killed is a failed outcome, not the end of the comparison.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.device import Device, this_device
from quantlab.lab.keep.scratch import scratch
from quantlab.lab.load.fits import died
from quantlab.lab.runners.child import Child, Expired, serve
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event, Failure, Finished, Outcome, Progress
from quantlab.words.plan import Plan

__all__ = ["compare_isolated"]

POLL_S = 0.1


def compare_isolated(
    comparison: Comparison,
    *,
    catalog: Catalog,
    device: Device,
    out: Path,
    report: Any = lambda _: None,
    stop: threading.Event | None = None,
    repeats: int = 1,
    warmup: int = 1,
) -> list[Outcome]:
    """Like ``lab.bench.compare.compare``, each plan in a fresh process, one after the other.

    ``device`` is what the processes will run on.
    """
    stop = stop or threading.Event()
    outcomes = []
    with scratch() as folder:
        for index in range(len(comparison.plans)):
            job = {
                "comparison": comparison.as_dict(),
                "index": index,
                "out": str(out.resolve()),
                "repeats": repeats,
                "warmup": warmup,
                "reference": str(Path(folder) / "reference.pt"),
            }
            outcome = _child(job, comparison, report, stop, catalog, device)
            outcomes.append(outcome)
            report(Finished(index, outcome))
    return outcomes


def _child(
    job: dict[str, Any],
    comparison: Comparison,
    report: Any,
    stop: threading.Event,
    catalog: Catalog,
    device: Device,
) -> Outcome:
    plan = comparison.plans[job["index"]]
    if stop.is_set():
        return _stopped(plan, "stopped before it started")
    with Child("quantlab.lab.runners.isolated", job) as child:
        while not stop.is_set():
            try:
                event = child.next(POLL_S)
            except Expired:
                continue
            if event is None:
                how, killed = child.how_it_ended(), child.was_killed
                return died(comparison, plan, how, killed=killed, catalog=catalog, device=device)
            if "outcome" in event:
                return Outcome.from_dict(event["outcome"])
            report(Progress(**event))
    return _stopped(plan, "stopped")


def _stopped(plan: Plan, message: str) -> Outcome:
    failure = Failure("stopped", "Stopped", message)
    return Outcome(plan=str(plan), status="failed", error=failure)


def main() -> None:
    """The child: run one plan, tell of its progress and its outcome."""
    from quantlab.lab.bench.compare import Bench, compare_one

    catalog = load_catalog()

    def work(job: dict[str, Any], tell: Callable[[Mapping[str, Any]], None]) -> None:
        def report(event: Event) -> None:
            assert isinstance(event, Progress)
            tell(asdict(event))

        outcome = compare_one(
            make_comparison(**job["comparison"], catalog=catalog),
            job["index"],
            bench=Bench(catalog, this_device()),
            out=Path(job["out"]),
            report=report,
            repeats=job["repeats"],
            warmup=job["warmup"],
            reference=Path(job["reference"]),
        )
        tell({"outcome": outcome.as_dict()})

    serve(work)


if __name__ == "__main__":
    main()
