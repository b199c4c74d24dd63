"""Run and Stop: from the controls to a job, from the runner's events to the page.

``check`` answers at once and outside the queue; it hands a job to ``run``, which waits for its turn
and streams. ``settle`` follows, however the run ended.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time as clock
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from quantlab.catalog.advice import beforehand
from quantlab.errors import InputError, QuantlabError
from quantlab.record.store.keeping import keep
from quantlab.ui.compare.board import (
    CLOSER,
    ahead,
    board,
    column,
    ended,
    images,
    instead_of,
    quiet,
    slider_updates,
    state_of,
)
from quantlab.ui.compare.share import link_to
from quantlab.ui.compare.view import banner, progress
from quantlab.ui.guard.hosts import address
from quantlab.ui.jobs import Wait
from quantlab.ui.listening import heard, while_heard
from quantlab.ui.services import Services
from quantlab.ui.state import Job, Result, Shown, read_comparison
from quantlab.ui.theme import HIDDEN
from quantlab.words.comparison import MAX_PLANS, Comparison
from quantlab.words.outcome import Finished, Progress
from quantlab.words.settings import described
from quantlab.words.text import shown as visible

__all__ = ["check", "leave", "run", "session_of", "settle", "stop", "visitor_of"]

log = logging.getLogger(__name__)
PAUSE_S = 0.5
"""Progress is shown at most this often, so that showing it does not slow what it shows."""

Update = Any


def check(services: Services, request: gr.Request, *values: Any) -> list[Update]:
    """Take a job in, or say what is wrong.

    Gives banner, job, shown, run button, stop button, progress, link, then the columns.
    """
    try:
        comparison = read_comparison(values, services.catalog)
        token, before = services.jobs.queue(session_of(request), visitor_of(request, services))
    except InputError as error:
        skipped = [gr.skip() for _ in range(6)]
        return [banner(str(error)), *skipped, *quiet(MAX_PLANS)]
    text = _waiting(Wait(before, None)) if before else "Starting"
    shown = Shown(comparison)
    plans = [str(plan) for plan in comparison.plans]
    model = services.catalog.models[comparison.model]
    state = "queued" if before else "waiting"
    notes = beforehand(model, [comparison.prompt], comparison.sequence_length)
    return [
        banner(" ".join(notes), problem=False),
        Job(comparison, token),
        shown,
        gr.update(interactive=False, value="Queued" if before else "Running"),
        gr.update(visible=True, interactive=True, value="Stop"),
        progress(text, 0),
        link_to(comparison, request, services),
        *board(plans, shown, model, services.catalog, state=state),
    ]


async def run(services: Services, job: Job | None) -> AsyncIterator[list[Update]]:
    """Wait for the job's turn, run it and stream: progress, shown, what stands under the columns,
    then the columns."""
    if job is None:
        return
    async for wait in services.jobs.turn(job.token):
        if not heard():
            break
        yield [
            progress(_waiting(wait), 0),
            *[gr.skip() for _ in range(1 + CLOSER)],
            *quiet(MAX_PLANS),
        ]
    stop_signal = services.jobs.start(job.token)
    if stop_signal is None:
        services.jobs.end(job.token)
        return
    shown = Shown(job.comparison)
    last = 0.0
    try:
        yield _begun(services, shown)
        with tempfile.TemporaryDirectory(prefix="quantlab-") as folder:
            events = services.runner.stream(job.comparison, out=Path(folder), stop=stop_signal)
            async for event in while_heard(events, stop_signal):
                if isinstance(event, Finished):
                    shown = await asyncio.to_thread(_finished, services, shown, event, job.token)
                    yield _after(services, shown, event.index)
                elif clock.monotonic() - last >= PAUSE_S:
                    last = clock.monotonic()
                    yield _underway(job.comparison, event, stopping=stop_signal.is_set())
    except QuantlabError as error:  # a queue or quota that refused the whole run
        gr.Warning(str(error), duration=30)
    finally:
        stop_signal.set()  # where the visitor left in the middle, the runner must not go on
        services.jobs.end(job.token)


def _waiting(wait: Wait) -> str:
    """``Queued; 2 before you, about 40 s``."""
    text = "another one is running" if wait.ahead == 1 else f"{wait.ahead} are before you"
    return f"Queued; {text}" + ("" if wait.seconds is None else f", about {wait.seconds:.0f} s")


def _finished(services: Services, shown: Shown, event: Finished, run: str) -> Shown:
    """``shown`` with the outcome, which is kept in the store if that can be done."""
    assert shown.comparison is not None
    kept = keep(services.store, shown.comparison, event, services.runner.machine, run=run)
    if kept.problem:
        log.warning("a result was not kept: %s", kept.problem)
        gr.Warning(f"This result is not kept for the link. {kept.problem}")
    return shown.put(kept.outcome.plan, Result(kept.outcome, kept.png))


def _after(services: Services, shown: Shown, index: int) -> list[Update]:
    """The page after plan ``index`` is done; the next column says that it is being prepared."""
    assert shown.comparison is not None
    plans = [str(plan) for plan in shown.comparison.plans]
    instead = instead_of(plans[index], shown, services.catalog)
    done = column(index, plans[index], shown, instead=instead)
    closer: list[Update] = [gr.skip() for _ in range(CLOSER)]
    if plans[index] in (names := [plan for _, plan in images(plans, shown)]):
        closer = slider_updates(plans, shown, choose=len(names) == 2)
    text = f"{index + 1} of {len(plans)} done"
    return [
        progress(text, (index + 1) / len(plans)),
        shown,
        *closer,
        *quiet(index),
        *done,
        *quiet(MAX_PLANS - index - 1),
    ]


def _begun(services: Services, shown: Shown) -> list[Update]:
    """The page when the job's turn has come."""
    comparison = shown.comparison
    assert comparison is not None
    plans = [str(plan) for plan in comparison.plans]
    model = services.catalog.models[comparison.model]
    return [
        progress("Starting", 0),
        *[gr.skip() for _ in range(1 + CLOSER)],
        *board(plans, shown, model, services.catalog, state="waiting"),
    ]


def _underway(comparison: Comparison, event: Progress, *, stopping: bool) -> list[Update]:
    count, plan = len(comparison.plans), str(comparison.plans[event.index])
    done = (event.index + event.fraction) / count
    text = f"{event.text}; stopping at the next step" if stopping else event.text
    return [
        progress(f"{event.index + 1} of {count}, {plan}: {text}", done),
        *[gr.skip() for _ in range(1 + CLOSER)],
        *quiet(event.index),
        *ahead(event.index, plan, "stopping" if stopping else "running", text),
        *quiet(MAX_PLANS - event.index - 1),
    ]


def settle(services: Services, request: gr.Request, job: Job | None, shown: Shown) -> list[Update]:
    """Run and Stop as they were, and how it ended: run button, stop button, progress, columns.

    Nothing where the visitor already has another job: that one will settle.
    """
    if services.jobs.busy(session_of(request)):
        return [gr.skip() for _ in range(3)] + quiet(MAX_PLANS)
    return _idle(job, shown)


def _idle(job: Job | None, shown: Shown) -> list[Update]:
    buttons = [gr.update(interactive=True, value="Run"), gr.update(visible=HIDDEN)]
    if job is None:
        return [*buttons, "", *quiet(MAX_PLANS)]
    plans = [str(plan) for plan in job.comparison.plans]
    return [
        *buttons,
        progress(f"{_counted(plans, shown)} {_settings(job.comparison)}"),
        *_unfinished(plans, shown, "idle"),
    ]


def _counted(plans: list[str], shown: Shown) -> str:
    """``3 of 4 done, 1 failed.``"""
    found = [state_of(result.outcome) for _, result in shown.results]
    parts = [f"{found.count('done')} of {len(set(plans))} done"]
    parts += [f"{found.count(state)} {state}" for state in ("failed", "stopped") if state in found]
    return ", ".join(parts) + "."


def _settings(comparison: Comparison) -> str:
    """What the results on the page are of, whatever the controls say by now."""
    said = ", ".join(described(dict(comparison.settings)))
    return f"“{visible(comparison.prompt)}”, {said}."


def stop(services: Services, request: gr.Request, job: Job | None, shown: Shown) -> list[Update]:
    """Stop this visitor's comparison at the next step, or take it out of the queue at once.

    Gives run button, stop button, progress, then the columns.
    """
    if not services.jobs.stop(session_of(request)):
        return _idle(job, shown)
    plans = [str(plan) for plan in job.comparison.plans] if job else []
    return [
        gr.skip(),
        gr.update(interactive=False, value="Stopping"),
        progress("Stopping at the next step", 0),
        *_unfinished(plans, shown, "stopping"),
    ]


def _unfinished(plans: list[str], shown: Shown, state: str) -> list[Update]:
    """The heads of the columns, those without an outcome in ``state``.

    All of them: what Stop answered may have come after a column's outcome.
    """
    updates: list[Update] = []
    for index, plan in enumerate(plans):
        found = shown.get(plan)
        updates += ended(index, plan, found) if found else ahead(index, plan, state)
    return updates + quiet(MAX_PLANS - len(plans))


def leave(services: Services, request: gr.Request) -> None:
    """The visitor closed the page: nobody waits for this comparison any more."""
    services.jobs.stop(session_of(request))


def session_of(request: gr.Request | None) -> str:
    """The visitor's session, or one name for all callers without any."""
    return str(getattr(request, "session_hash", None) or "none")


def visitor_of(request: gr.Request | None, services: Services) -> str | None:
    """Whom a limit is held against: on a public page the address, else nobody but the session."""
    if not services.public or request is None:
        return None
    return address(request.headers, getattr(request.client, "host", None))


def script_of(comparison: Comparison, plan: str) -> str:
    """The script that reproduces ``plan``, or a comment that says why there is none."""
    found = next((p for p in comparison.plans if str(p) == plan), None)
    if found is None:
        return ""
    from quantlab.lab.script.pipeline import snippet

    try:
        return snippet(comparison, found)
    except QuantlabError as error:
        return f"# No script: {error}\n"
