"""Run and Stop: from the controls to a job, from the runner's events to the page.

``check`` answers at once and outside the queue; it hands a job to ``run``, which waits for its turn
and streams. ``settle`` follows, however the run ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time as clock
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import gradio as gr

from quantlab.catalog.advice import beforehand
from quantlab.errors import InputError, QuantlabError
from quantlab.lab.keep.scratch import scratch
from quantlab.record.store.keeping import keep
from quantlab.ui.compare.send import worse_than_predicted
from quantlab.ui.compare.share import link_to
from quantlab.ui.compare.stage.board import board, picture, state_of
from quantlab.ui.compare.stage.view import banner, progress
from quantlab.ui.guard.hosts import address
from quantlab.ui.jobs import Wait
from quantlab.ui.listening import heard, while_heard
from quantlab.ui.named import Call, Updates
from quantlab.ui.services import Services
from quantlab.ui.state import Job, Result, Shown, read_comparison
from quantlab.ui.theme import HIDDEN
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Finished, Progress
from quantlab.words.settings import described
from quantlab.words.text import shown as visible

__all__ = ["check", "leave", "run", "settle", "stop", "visitor_of"]

log = logging.getLogger(__name__)
PAUSE_S = 0.5
"""Progress is shown at most this often, so that showing it does not slow what it shows."""
MAX_SECRET = 64
"""Characters of a browser's secret that count."""


def check(call: Call) -> Updates:
    """Take a job in, or say what is wrong."""
    services, given = call.services, call.given
    try:
        comparison = read_comparison(given, services.catalog)
        services.admit(comparison)
        token, before = services.jobs.queue(call.session, visitor_of(call.request, services))
    except InputError as error:
        return {"banner": banner(str(error))}
    text = _waiting(Wait(before, None)) if before else "Starting"
    shown = Shown(comparison)
    plans = [str(plan) for plan in comparison.plans]
    model = services.catalog.models[comparison.model]
    state = "queued" if before else "waiting"
    notes = beforehand(model, [comparison.prompt], comparison.sequence_length)
    secret = str(given.get("mine") or "")[:MAX_SECRET] or None
    return {
        "banner": banner(" ".join(notes), problem=False),
        "changed": "",
        "job": Job(comparison, token, keep=bool(given.get("keep", True)), secret=secret),
        "shown": shown,
        "run": gr.update(interactive=False, value="Queued" if before else "Running"),
        "stop": gr.update(visible=True, interactive=True, value="Stop"),
        "progress": progress(text, 0),
        "link": link_to(comparison, call.request, services),
        **board(plans, shown, model, services.catalog, state=state),
    }


async def run(call: Call) -> AsyncIterator[Updates]:
    """Wait for the job's turn, run it, and stream what changes."""
    services, job = call.services, call.given["job"]
    if not isinstance(job, Job):
        return
    async for wait in services.jobs.turn(job.token):
        if not heard():
            break
        yield {"progress": progress(_waiting(wait), 0)}
    stop_signal = services.jobs.start(job.token)
    if stop_signal is None:
        services.jobs.end(job.token)
        return
    try:
        async for updates in _streamed(services, job, stop_signal):
            yield updates
    except QuantlabError as error:  # a queue or quota that refused the whole run
        gr.Warning(str(error), duration=30)
    finally:
        stop_signal.set()  # where the visitor left in the middle, the runner must not go on
        services.jobs.end(job.token)


async def _streamed(
    services: Services, job: Job, stop_signal: threading.Event
) -> AsyncIterator[Updates]:
    """The page as the run goes on: a picture as soon as there is one, figures as they come."""
    shown, drawn = Shown(job.comparison), dict[str, str]()
    running, last = -1, 0.0
    yield {"progress": progress("Starting", 0), **_seats(services, shown, "waiting")}
    with scratch() as folder:
        events = services.runner.stream(job.comparison, out=Path(folder), stop=stop_signal)
        async for event in while_heard(events, stop_signal):
            if isinstance(event, Finished):
                shown = await asyncio.to_thread(_finished, services, shown, event, job)
                yield _after(services, shown, drawn)
                continue
            if event.image and (found := picture(_bytes(event.image))):
                drawn[str(job.comparison.plans[event.index])] = found
            if event.image or event.index != running:
                running, last = event.index, 0.0
                yield _seats(services, shown, "waiting", running, drawn)
            if clock.monotonic() - last >= PAUSE_S:
                last = clock.monotonic()
                yield _underway(job.comparison, event, stopping=stop_signal.is_set())


def _bytes(path: str) -> bytes | None:
    """A picture that is still in its folder."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _waiting(wait: Wait) -> str:
    """``Queued; 2 before you, about 40 s``."""
    text = "another one is running" if wait.ahead == 1 else f"{wait.ahead} are before you"
    return f"Queued; {text}" + ("" if wait.seconds is None else f", about {wait.seconds:.0f} s")


def _finished(services: Services, shown: Shown, event: Finished, job: Job) -> Shown:
    """``shown`` with the outcome, which is kept in the store if it may be and that can be done."""
    store = services.store if job.keep else None
    machine, own = services.runner.machine, {"run": job.token, "secret": job.secret}
    kept = keep(store, job.comparison, event, machine, **own)
    if kept.problem:
        log.warning("a result was not kept: %s", kept.problem)
        gr.Warning(f"This result is not kept for the link. {kept.problem}")
    worse: tuple[str, ...] = ()
    if kept.id is not None:
        worse = worse_than_predicted(job.comparison, kept.outcome, machine(), services.catalog)
    result = Result(kept.outcome, picture(kept.png), id=kept.id, worse=worse)
    return shown.put(kept.outcome.plan, result)


def _after(services: Services, shown: Shown, drawn: Mapping[str, str]) -> Updates:
    """The page after a plan is done."""
    assert shown.comparison is not None
    count, done = len(shown.comparison.plans), len(shown.results)
    return {
        "progress": progress(f"{done} of {count} done", done / count),
        "shown": shown,
        **_seats(services, shown, "waiting", drawn=drawn),
    }


def _seats(
    services: Services,
    shown: Shown,
    state: str,
    running: int | None = None,
    drawn: Mapping[str, str] | None = None,
) -> Updates:
    """The board of the comparison that is shown."""
    comparison = shown.comparison
    assert comparison is not None
    plans = [str(plan) for plan in comparison.plans]
    model = services.catalog.models[comparison.model]
    catalog = services.catalog
    return board(plans, shown, model, catalog, state=state, running=running, drawn=drawn)


def _underway(comparison: Comparison, event: Progress, *, stopping: bool) -> Updates:
    count, plan = len(comparison.plans), str(comparison.plans[event.index])
    done = (event.index + event.fraction) / count
    text = f"{event.text}; stopping at the next step" if stopping else event.text
    return {"progress": progress(f"{event.index + 1} of {count}, {plan}: {text}", done)}


def settle(call: Call) -> Updates:
    """Run and Stop as they were, and how it ended.

    Nothing where the visitor already has another job: that one will settle.
    """
    if call.services.jobs.busy(call.session):
        return {}
    return _idle(call.services, call.given["job"], call.given["shown"])


def _idle(services: Services, job: Job | None, shown: Shown) -> Updates:
    buttons = {
        "run": gr.update(interactive=True, value="Run"),
        "stop": gr.update(visible=HIDDEN),
    }
    if job is None:
        return {**buttons, "progress": ""}
    plans = [str(plan) for plan in job.comparison.plans]
    return {
        **buttons,
        "progress": progress(f"{_counted(plans, shown)} {_settings(job.comparison)}"),
        **_seats(services, _of(job, shown), "idle"),
    }


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


def stop(call: Call) -> Updates:
    """Stop this visitor's comparison at the next step, or take it out of the line at once."""
    job, shown = call.given["job"], call.given["shown"]
    if not call.services.jobs.stop(call.session):
        return _idle(call.services, job, shown)
    seats = _seats(call.services, _of(job, shown), "stopping") if job else {}
    return {
        "stop": gr.update(interactive=False, value="Stopping"),
        "progress": progress("Stopping at the next step", 0),
        **seats,
    }


def _of(job: Job, shown: Shown) -> Shown:
    """What is shown of the job's comparison: what Stop answered may have come after an outcome."""
    return shown if shown.comparison == job.comparison else Shown(job.comparison)


def leave(call: Call) -> Updates:
    """The visitor closed the page: nobody waits for this comparison any more."""
    call.services.jobs.stop(call.session)
    return {}


def visitor_of(request: gr.Request | None, services: Services) -> str | None:
    """Whom a limit is held against: on a public page the address, else nobody but the session."""
    if not services.public or request is None:
        return None
    return address(request.headers, getattr(request.client, "host", None))


def script_of(services: Services, comparison: Comparison, plan: str) -> str:
    """The script that reproduces ``plan``, or a comment that says why there is none."""
    found = next((p for p in comparison.plans if str(p) == plan), None)
    if found is None:
        return ""
    from quantlab.lab.device import this_device
    from quantlab.lab.script.pipeline import snippet

    try:
        return snippet(comparison, found, services.catalog, this_device())
    except QuantlabError as error:
        return f"# No script: {error}\n"
