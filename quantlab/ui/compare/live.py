"""A comparison that runs, apart from the page that asked for it: whoever comes back finds it.

A page that is loaded anew is another session to Gradio, and its old stream ends unheard. So the run
is a task of its own, whose latest state any number of streams tell; where nobody listens for a
while, it is stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from quantlab.errors import QuantlabError
from quantlab.lab.keep.scratch import scratch
from quantlab.record.store.keeping import keep
from quantlab.ui.compare.send import worse_than_predicted
from quantlab.ui.compare.stage.board import picture
from quantlab.ui.listening import LOOK_S, heard, while_heard
from quantlab.ui.services import Services
from quantlab.ui.state import Job, Result, Shown
from quantlab.words.outcome import Finished, Progress

__all__ = ["Live", "Seen"]

log = logging.getLogger(__name__)
PAUSE_S = 0.5
"""Progress is told at most this often, so that telling it does not slow what it tells of."""


@dataclass(frozen=True, eq=False)  # compared by identity: a new one when something is to be drawn
class Seen:
    """What there is to be seen: the outcomes so far, pictures that have no figures yet, as files by
    plan, and which plan runs now."""

    shown: Shown
    drawn: Mapping[str, str] = field(default_factory=dict)
    running: int = -1


class Live:
    """The comparison of ``job`` as it goes on. ``told`` is the progress in words and from 0 to 1,
    ``problems`` what there is to warn of."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._steps = [Seen(Shown(job.comparison))]
        self.told = ("Starting", 0.0)
        self.problems: list[str] = []
        self.ended = False
        self._listeners: set[asyncio.Event] = set()
        self._alone_since = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._last = 0.0
        self._followed = False

    def begin(self, services: Services, stop: threading.Event) -> None:
        """Start the run, if nobody has yet; ``stop`` ends it at the next step."""
        if self._task is None:
            self._alone_since = time.monotonic()
            self._task = asyncio.create_task(self._go(services, stop))

    @property
    def seen(self) -> Seen:
        """What there is to be seen now."""
        return self._steps[-1]

    async def follow(self) -> AsyncIterator[Seen]:
        """What there is to be seen from now on, step by step, and again where only the progress is
        another; for as long as the caller is heard, to the end. Who follows first sees all of it:
        the run began before they could ask."""
        at = len(self._steps) - 1 if self._followed else 0
        self._followed = True
        news = asyncio.Event()
        news.set()
        self._listeners.add(news)
        try:
            while not self.ended:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), LOOK_S)
                if not heard():
                    return
                if news.is_set():
                    news.clear()
                    yield self._steps[at]
                    while at < len(self._steps) - 1:
                        at += 1
                        yield self._steps[at]
            for step in self._steps[at:]:
                yield step
        finally:
            self._listeners.discard(news)
            self._alone_since = time.monotonic()

    async def _go(self, services: Services, stop: threading.Event) -> None:
        patience = services.jobs.patience_s

        def wanted() -> bool:
            return bool(self._listeners) or time.monotonic() - self._alone_since < patience

        try:
            with scratch() as folder:
                events = services.runner.stream(self.job.comparison, out=Path(folder), stop=stop)
                async for event in while_heard(events, stop, wanted):
                    if isinstance(event, Finished):
                        await asyncio.to_thread(self._finished, services, event)
                        self._tell()
                    else:
                        self._underway(event, stopping=stop.is_set())
        except QuantlabError as error:  # a queue or quota that refused the whole run
            self.problems.append(str(error))
        except Exception:  # border: a fault of ours must not leave the line blocked
            log.exception("a run failed")
            self.problems.append("Something went wrong on this page; its log says what.")
        finally:
            stop.set()
            services.jobs.end(self.job.token)
            self.ended = True
            self._tell()

    def _tell(self) -> None:
        for news in self._listeners:
            news.set()

    def _finished(self, services: Services, event: Finished) -> None:
        """One outcome more, kept in the store if it may be and that can be done."""
        job, store = self.job, services.store if self.job.keep else None
        own = {"run": job.token, "secret": job.secret}
        machine = services.runner.machine
        kept = keep(store, job.comparison, event, machine, **own)
        if kept.problem:
            log.warning("a result was not kept: %s", kept.problem)
            self.problems.append(f"This result is not kept for the link. {kept.problem}")
        worse: tuple[str, ...] = ()
        if kept.id is not None:
            worse = worse_than_predicted(job.comparison, kept.outcome, machine(), services.catalog)
        result = Result(kept.outcome, picture(kept.png), id=kept.id, worse=worse)
        shown = self.seen.shown.put(kept.outcome.plan, result)
        count, done = len(job.comparison.plans), len(shown.results)
        self.told = (f"{done} of {count} done", done / count)
        self._steps.append(replace(self.seen, shown=shown, running=-1))

    def _underway(self, event: Progress, *, stopping: bool) -> None:
        plans = self.job.comparison.plans
        plan, count = str(plans[event.index]), len(plans)
        found = picture(_bytes(event.image)) if event.image else None
        if found or event.index != self.seen.running:
            drawn = {**self.seen.drawn, plan: found} if found else self.seen.drawn
            self._steps.append(replace(self.seen, drawn=drawn, running=event.index))
            self._last = 0.0
        text = f"{event.text}; stopping at the next step" if stopping else event.text
        done = (event.index + event.fraction) / count
        self.told = (f"{event.index + 1} of {count}, {plan}: {text}", done)
        if time.monotonic() - self._last >= PAUSE_S:
            self._last = time.monotonic()
            self._tell()


def _bytes(path: str) -> bytes | None:
    """A picture that is still in its folder."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
