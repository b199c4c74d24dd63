"""Run and Stop: from the controls to a job, from the runner's events to the page.

``press`` answers at once; it hands a job to ``run``, which waits for its turn and streams what
``live.Live`` does. ``settle`` follows, however the run ended; ``find`` takes a job up again on a
page that was loaded anew.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import gradio as gr
from anyio import from_thread

from quantlab.catalog.advice import beforehand
from quantlab.errors import InputError, QuantlabError
from quantlab.record.documents import script_of_plan
from quantlab.ui.compare.live import Live
from quantlab.ui.compare.share import link_to
from quantlab.ui.compare.stage.board import board, state_of
from quantlab.ui.compare.stage.view import banner, progress, running_mark
from quantlab.ui.guard.hosts import address
from quantlab.ui.jobs import Wait
from quantlab.ui.listening import heard
from quantlab.ui.named import Call, Updates
from quantlab.ui.services import Services
from quantlab.ui.state import Job, Shown, read_comparison
from quantlab.ui.theme import HIDDEN
from quantlab.words.comparison import Comparison
from quantlab.words.settings import described
from quantlab.words.text import shown as visible

__all__ = ["check", "find", "leave", "press", "run", "settle", "stop", "visitor_of"]

MAX_SECRET = 64
"""Characters of a browser's secret that count."""


def press(call: Call) -> Updates:
    """Take a job in, or say what is wrong. It runs as soon as nobody is before it: the page needs a
    third of a second to hear of the job and to ask what becomes of it."""
    updates, services = check(call), call.services
    if isinstance(job := updates.get("job"), Job):
        live, loop = services.jobs.work(job.token), from_thread.run_sync(asyncio.get_running_loop)
        assert isinstance(live, Live)
        services.jobs.run_in_turn(job.token, partial(_begin, loop, live, services))
    return updates


def _begin(
    loop: asyncio.AbstractEventLoop, live: Live, services: Services, stop: threading.Event
) -> None:
    """From any thread."""
    loop.call_soon_threadsafe(live.begin, services, stop)


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
    job = Job(comparison, token, keep=bool(given.get("keep", True)), secret=_secret(given))
    services.jobs.keep(token, Live(job))
    return {
        "banner": banner(" ".join(notes), problem=False),
        "changed": "",
        "job": job,
        "live": running_mark(token),
        "shown": shown,
        **_buttons(waits=before > 0),
        "progress": progress(text, 0),
        "link": link_to(comparison, call.request, services),
        **board(plans, shown, model, services.catalog, state=state),
    }


def _secret(given: Mapping[str, Any]) -> str | None:
    return str(given.get("mine") or "")[:MAX_SECRET] or None


def _buttons(*, waits: bool) -> Updates:
    """Run and Stop while a job waits or runs."""
    return {
        "run": gr.update(interactive=False, value="Queued" if waits else "Running"),
        "stop": gr.update(visible=True, interactive=True, value="Stop"),
    }


def find(call: Call) -> Updates:
    """The job of the page's address, where it still waits or runs: the page was loaded anew.

    Whose it was may stop it again. Others who know its address may look on.
    """
    services, given = call.services, call.given
    token = str(given["token"] or "")
    live = services.jobs.work(token)
    if not isinstance(live, Live) or live.ended:
        return {"live": running_mark("")}
    secret = _secret(given)
    proven = secret is not None and secret == live.job.secret
    mine = services.jobs.adopt(token, call.session, proven=proven)
    wait, seen = services.jobs.wait(token), live.seen
    state = "queued" if wait and wait.ahead else "waiting"
    text = "This comparison went on and is found again." if mine else "This comparison runs now."
    return {
        "banner": banner(text, problem=False),
        "changed": "",
        "job": live.job,
        "live": running_mark(token),
        "shown": seen.shown,
        **_buttons(waits=state == "queued"),
        "progress": progress(*live.told),
        **_seats(services, seen.shown, state, seen.running, seen.drawn),
    }


async def run(call: Call) -> AsyncIterator[Updates]:
    """Wait for the job's turn, have it run, and stream what changes while the caller is heard."""
    services, job = call.services, call.given["job"]
    live = services.jobs.work(job.token) if isinstance(job, Job) else None
    if not isinstance(live, Live):
        return
    async for wait in services.jobs.turn(job.token):
        if not heard():
            return
        yield {"progress": progress(_waiting(wait), 0)}
    stop_signal = services.jobs.start(job.token)
    if stop_signal is not None:
        live.begin(services, stop_signal)
    elif not live.ended:
        return
    async for updates in _followed(services, live):
        yield updates


async def _followed(services: Services, live: Live) -> AsyncIterator[Updates]:
    """The page as the run goes on: a picture as soon as there is one, figures as they come."""
    seen, told, warned = None, None, 0
    async for step in live.follow():
        updates: dict[str, Any] = {}
        for problem in live.problems[warned:]:
            gr.Warning(problem, duration=30)
        warned = len(live.problems)
        if told != live.told:
            told = live.told
            updates["progress"] = progress(*told)
        if seen is not step:
            if seen is None or seen.shown is not step.shown:
                updates["shown"] = step.shown
            seen = step
            updates |= _seats(services, seen.shown, "waiting", seen.running, seen.drawn)
        if updates:
            yield updates


def _waiting(wait: Wait) -> str:
    """``Queued; 2 before you, about 40 s``."""
    text = "another one is running" if wait.ahead == 1 else f"{wait.ahead} are before you"
    return f"Queued; {text}" + ("" if wait.seconds is None else f", about {wait.seconds:.0f} s")


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
        "live": "",
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
    if job is not None:
        call.services.jobs.adopt(job.token, call.session)
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
    """The visitor closed the page, or loads it anew: see ``Jobs.leave``."""
    call.services.jobs.leave(call.session)
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
    try:
        return services.do(script_of_plan, comparison, found)
    except QuantlabError as error:
        return f"# No script: {error}\n"
