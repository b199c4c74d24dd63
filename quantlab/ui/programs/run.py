"""A comparison for a program: the page's runner and store, one document at the end."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from quantlab.errors import Stopped, Unavailable
from quantlab.lab.keep.scratch import scratch
from quantlab.record.documents import comparison_document
from quantlab.record.store.keeping import Kept, keep
from quantlab.ui.download import offer
from quantlab.ui.listening import heard, while_heard
from quantlab.ui.services import Services
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Finished

__all__ = ["run", "served"]

log = logging.getLogger(__name__)


async def run(
    services: Services, comparison: Comparison, session: str, visitor: str | None = None
) -> dict[str, Any]:
    """The document of ``compare``, with ``results``: the stored id of each outcome, or null.

    Raises:
        InputError: it may not run here, or the visitor has a job that runs and one that waits
            already.
        Stopped: the caller was gone before its turn came.
        RunError: a queue or quota refused the whole run.
    """
    services.admit(comparison)
    token, _ = services.jobs.queue(session, visitor)
    async for _ in services.jobs.turn(token):
        if not heard():
            services.jobs.end(token)
    stop = services.jobs.start(token)
    if stop is None:
        raise Stopped("The caller has left; nothing was run.")
    done: list[Kept] = []
    try:
        with scratch() as folder:
            events = services.runner.stream(comparison, out=Path(folder), stop=stop)
            async for event in while_heard(events, stop):
                if isinstance(event, Finished):
                    done.append(_keep(services, comparison, event, token))
    finally:
        stop.set()
        services.jobs.end(token)
    outcomes = [each.outcome for each in done]
    document = comparison_document(comparison, *_machine(services), outcomes)
    for entry, each in zip(document["outcomes"], done, strict=True):
        entry["image"] = served(each.png, each.outcome.plan)
    return {**document, "results": [each.id for each in done]}


def _keep(services: Services, comparison: Comparison, event: Finished, run: str) -> Kept:
    kept = keep(services.store, comparison, event, services.runner.machine, run=run)
    if kept.problem:
        log.warning("a result was not kept: %s", kept.problem)
    return kept


def _machine(services: Services) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        return services.runner.machine()
    except Unavailable:
        return {}, {}


def served(png: bytes | None, plan: str) -> dict[str, Any] | None:
    """An image as Gradio serves it: its clients save it and hand out the path of their copy.

    The file is under Gradio's cache, which is emptied on the page's own schedule.
    """
    if png is None:
        return None
    name = re.sub(r"[^a-z0-9]+", "-", plan.lower()).strip("-")[:80] + ".png"
    path = offer(name, png)
    return dict(gr.FileData(path=path, orig_name=name, mime_type="image/png").model_dump())
