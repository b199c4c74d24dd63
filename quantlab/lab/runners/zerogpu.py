"""Running comparisons on a ZeroGPU Space: each in a call to a forked GPU worker, paid in quota.

The parent process decides, downloads and writes images; it never touches the GPU and never
imports quanto, which has crashed ZeroGPU's parent (diffusers issue 10381). Knows the ``spaces``
package, which is imported only when a runner is made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantlab.catalog.table import Catalog
from quantlab.errors import QuantlabError, RunError, Stopped, Unavailable
from quantlab.lab.device import this_device
from quantlab.lab.keep.scratch import scratch
from quantlab.lab.libraries import load, resolve
from quantlab.lab.load.keys import Key, keys_of
from quantlab.lab.load.reader import Reader
from quantlab.lab.runners.runner import events_of
from quantlab.lab.runners.zerogpu_cost import gpu_seconds, quota_seconds
from quantlab.lab.runners.zerogpu_limits import death, explain, refusal, worker_died
from quantlab.lab.runners.zerogpu_worker import Item, unpack, work
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event, Failure, Finished, Outcome, Progress, Stage
from quantlab.words.plan import Plan

__all__ = ["Recorded", "ZeroGpuRunner"]

Recorded = Callable[[Comparison], Mapping[str, Outcome]]
"""Outcomes that were measured on ZeroGPU for a comparison like this one, by plan text."""

NO_WARMUP = "Timed without a warm-up run, to spare the visitor's quota."


class ZeroGpuRunner:
    """A ``Runner`` on ZeroGPU's half card.

    ``recorded`` makes the asked seconds better than predicted ones. Make it before the page is
    launched: the platform wants to know by then that the GPU is used.
    """

    def __init__(self, catalog: Catalog, recorded: Recorded = lambda _: {}) -> None:
        self._catalog = catalog
        self._recorded = recorded
        self._machine: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
        # "large" is the half card: never the full one, at twice the quota, without being asked.
        gpu = load("spaces").GPU(duration=_duration, size="large")
        self._call: Callable[[Item], Generator[Item, None, None]] = gpu(work)

    def cost_s(self, comparison: Comparison) -> int:
        """Seconds of a visitor's daily quota that a run without repeats or warm-up asks for."""
        plans = [p for p in comparison.plans if refusal(comparison, p, self._catalog) is None]
        return quota_seconds(self._seconds(comparison, plans, 1, 0)) if plans else 0

    def machine(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Device and versions as the worker last reported them; this process has no GPU.

        Raises:
            Unavailable: nothing has run yet.
        """
        if self._machine is None:
            raise Unavailable("no GPU worker has reported yet")
        return self._machine

    def stream(
        self,
        comparison: Comparison,
        *,
        out: Path,
        stop: threading.Event,
        repeats: int = 1,
        warmup: int = 0,
    ) -> Iterator[Event]:
        """See ``Runner.stream``; ``stop`` is noticed at the next event of the worker.

        Raises:
            RunError: no GPU was given (quota, queue, service), or the worker did not start.
        """
        ready = {
            index: _failed(plan, "check", why)
            for index, plan in enumerate(comparison.plans)
            if (why := refusal(comparison, plan, self._catalog)) is not None
        }
        yield from self._fetch(comparison, ready, stop)
        asked = [i for i in range(len(comparison.plans)) if i not in ready]
        events = self._run(comparison, asked, out, stop, repeats, warmup) if asked else iter(())
        yield from _in_turn(events, ready, len(comparison.plans))

    def _seconds(self, comparison: Comparison, plans: list[Plan], repeats: int, warmup: int) -> int:
        return gpu_seconds(
            comparison,
            plans,
            repeats=repeats,
            warmup=warmup,
            catalog=self._catalog,
            recorded=self._recorded(comparison),
        )

    def _fetch(
        self, comparison: Comparison, ready: dict[int, Outcome], stop: threading.Event
    ) -> Iterator[Event]:
        """Download before a GPU is asked for; a plan whose files cannot be had is ``ready``."""
        model = self._catalog.models[comparison.model]
        for index, plan in enumerate(comparison.plans):
            if index in ready or model.local:
                continue
            keys = keys_of(model, plan)

            def body(
                report: Callable[[Event], None],
                index: int = index,
                keys: Mapping[str, Key] = keys,
            ) -> None:
                def say(text: str) -> None:
                    if stop.is_set():
                        raise Stopped("stopped")
                    report(Progress(index, text, 0))

                Reader(self._catalog, this_device().target).fetch(model, keys, say, keys)

            try:
                yield from events_of(body)
            except Stopped as error:
                ready[index] = _failed(plan, "stopped", error)
            except QuantlabError as error:
                ready[index] = _failed(plan, "load", error)

    def _run(
        self,
        comparison: Comparison,
        asked: list[int],
        out: Path,
        stop: threading.Event,
        repeats: int,
        warmup: int,
    ) -> Iterator[Event]:
        """Run the plans ``asked`` in one GPU call; every one of them gets its outcome."""
        plans = [comparison.plans[index] for index in asked]
        seconds = self._seconds(comparison, plans, repeats, warmup)
        chosen = replace(comparison, plans=tuple(plans))
        job = {"comparison": chosen.as_dict(), "seconds": seconds}
        job |= {"repeats": repeats, "warmup": warmup}
        left, started = list(asked), time.monotonic()
        error: QuantlabError = Stopped("stopped before it started")
        try:
            with closing(self._events(job, chosen.model, asked, out)) as events:
                for event in events if not stop.is_set() else ():
                    if isinstance(event, Finished):
                        left.remove(event.index)
                        event = _honest(event, reference=0 in asked, warmup=warmup)
                    yield event
                    if stop.is_set():
                        error = Stopped("stopped")
                        break
        except QuantlabError:
            raise
        except Exception as raised:  # border: gradio's, httpx's and the client's own errors alike
            if not worker_died(raised):
                raise explain(raised, seconds) from raised
            error = death(time.monotonic() - started, seconds)
        for index in left:
            stage: Stage = "stopped" if isinstance(error, Stopped) else "process"
            yield Finished(index, _failed(comparison.plans[index], stage, error))
            if stage == "process":
                error = RunError("not run: the GPU worker ended during an earlier plan")

    def _events(
        self, job: Item, model: str, asked: list[int], out: Path
    ) -> Generator[Event, None, None]:
        # Imports that are under way in another thread would hang the forked worker: wait for them.
        resolve(f"diffusers.{self._catalog.models[model].pipeline}")
        with scratch() as folder:
            items = self._call({**job, "folder": folder})
            try:
                for item in items:
                    if "device" in item:
                        self._machine = (item["device"], item["versions"])
                    else:
                        yield unpack(item, asked[item["index"]], out)
            finally:
                items.close()  # tells the worker to stop


def _duration(job: Mapping[str, Any]) -> int:
    return int(job["seconds"])


def _in_turn(events: Iterator[Event], ready: Mapping[int, Outcome], count: int) -> Iterator[Event]:
    """``events``, with the outcomes that are ``ready`` where their turn is."""
    turn = 0
    for event in events:
        for index in range(turn, event.index):
            yield Finished(index, ready[index])
        yield event
        turn = event.index + isinstance(event, Finished)
    for index in range(turn, count):
        yield Finished(index, ready[index])


def _honest(event: Finished, *, reference: bool, warmup: int) -> Finished:
    """The outcome without scores against a plan that is not the reference, and with its note."""
    outcome = event.outcome
    if not reference:
        outcome = replace(outcome, scores={})
    if outcome.status == "ok" and not warmup:
        outcome = replace(outcome, notes=(*outcome.notes, NO_WARMUP))
    return Finished(event.index, outcome)


def _failed(plan: Plan, stage: Stage, error: QuantlabError) -> Outcome:
    failure = Failure(stage, type(error).__name__, str(error))
    return Outcome(plan=str(plan), status="failed", error=failure)
