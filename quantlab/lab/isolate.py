"""One plan in a process of its own, so that load time and peak memory are its alone.

The parent hands a job to the child on stdin as JSON and reads events from its stdout, a line
each. A child that crashes or is killed is a failed outcome, not the end of the comparison.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from quantlab.catalog.paths import PROJECT
from quantlab.lab.outcome import Event, Failure, Finished, Outcome, Progress
from quantlab.lab.plan import Comparison, make_comparison

__all__ = ["compare_isolated"]

POLL_S = 0.1


def compare_isolated(
    comparison: Comparison,
    *,
    out: Path,
    report: Any = lambda _: None,
    stop: threading.Event | None = None,
    repeats: int = 1,
    warmup: int = 1,
) -> list[Outcome]:
    """Like ``lab.compare.compare``, each plan in a fresh process, one after the other."""
    stop = stop or threading.Event()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="quantlab-") as folder:
        for index in range(len(comparison.plans)):
            job = {
                "comparison": comparison.as_dict(),
                "index": index,
                "out": str(out.resolve()),
                "repeats": repeats,
                "warmup": warmup,
                "reference": str(Path(folder) / "reference.pt"),
            }
            outcome = _child(job, comparison, report, stop)
            outcomes.append(outcome)
            report(Finished(index, outcome))
    return outcomes


def _child(
    job: dict[str, Any], comparison: Comparison, report: Any, stop: threading.Event
) -> Outcome:
    plan = str(comparison.plans[job["index"]])
    if stop.is_set():
        return _failed(plan, "stopped", "Stopped", "stopped before it started")
    command = [sys.executable, "-m", "quantlab.lab.isolate"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as p:
        assert p.stdin is not None
        assert p.stdout is not None
        p.stdin.write(json.dumps(job))
        p.stdin.close()
        watcher = threading.Thread(target=_end_when_stopped, args=(p, stop), daemon=True)
        watcher.start()
        outcome = _read_events(p.stdout, report)
        code = p.wait()
    if outcome is not None:
        return outcome
    if stop.is_set():
        return _failed(plan, "stopped", "Stopped", "stopped")
    reason = f"was killed by signal {-code}" if code < 0 else f"ended with exit status {code}"
    hint = "; out of memory is the usual cause" if code == -9 else ""
    return _failed(plan, "process", "ChildDied", f"the process of this plan {reason}{hint}")


def _read_events(lines: IO[str], report: Any) -> Outcome | None:
    for line in lines:
        event = json.loads(line)
        if "outcome" in event:
            return Outcome.from_dict(event["outcome"])
        report(Progress(**event))
    return None


def _end_when_stopped(process: subprocess.Popen[str], stop: threading.Event) -> None:
    while process.poll() is None:
        if stop.wait(POLL_S):
            process.kill()
            return


def _failed(plan: str, stage: str, kind: str, message: str) -> Outcome:
    return Outcome(plan=plan, status="failed", error=Failure(stage, kind, message))


def main() -> None:
    """The child: run one plan, write events to stdout."""
    job = json.load(sys.stdin)
    events, sys.stdout = sys.stdout, sys.stderr  # a library's print must not mix with events

    from quantlab.lab.compare import Bench, compare_one

    def say(event: Event) -> None:
        if isinstance(event, Progress):
            line = {"index": event.index, "text": event.text, "fraction": event.fraction}
        else:
            line = {"outcome": event.outcome.as_dict()}
        events.write(json.dumps(line) + "\n")
        events.flush()

    outcome = compare_one(
        make_comparison(**job["comparison"]),
        job["index"],
        bench=Bench(),
        out=Path(job["out"]),
        report=say,
        repeats=job["repeats"],
        warmup=job["warmup"],
        reference=Path(job["reference"]),
    )
    say(Finished(job["index"], outcome))


if __name__ == "__main__":
    main()
