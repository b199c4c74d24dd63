"""A tuning behind the page: in a thread, told of as it goes.

Knows nothing of Gradio or HTML; tuning/section.py shows what comes out here.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from quantlab.catalog.table import Catalog
from quantlab.errors import Stopped
from quantlab.lab.tune.question import Question

__all__ = ["Told", "tuning"]

Alone = Callable[[], AbstractContextManager[None]]
TICK_S = 1.0
"""Something is told at least this often, so that a page that was closed is noticed."""
END_S = 10.0
"""A tuning that was stopped ends within this time: at the next step of an image."""


@dataclass(frozen=True)
class Told:
    """How far a tuning is: what it does, the seconds that are left by its pace so far, and at the
    end the document of report.json, None where it was stopped."""

    doing: str = "Starting"
    left_s: float = 0.0
    report: Mapping[str, Any] | None = None
    ended: bool = False
    stopped: bool = False


def tuning(
    asked: Question, catalog: Catalog, stop: threading.Event, alone: Alone
) -> Iterator[Told]:
    """Tune, and tell of it until it has ended, or was stopped by ``stop``; ``alone`` holds off what
    else runs in this process.

    Raises:
        QuantlabError: what was asked for cannot be tuned here.
    """
    events: queue.SimpleQueue[object] = queue.SimpleQueue()
    thread = threading.Thread(target=_work, args=(asked, catalog, stop, alone, events), daemon=True)
    thread.start()
    told = Told()
    try:
        while not told.ended:
            told = replace(_after(told, events), stopped=stop.is_set())
            yield told
    finally:
        stop.set()  # where the page was closed in the middle
        thread.join(END_S)


def _work(
    asked: Question,
    catalog: Catalog,
    stop: threading.Event,
    alone: Alone,
    events: queue.SimpleQueue[object],
) -> None:
    # Imported here: torch takes seconds, and the page must not wait for it.
    from quantlab.lab.device import this_device
    from quantlab.lab.tune.report import write
    from quantlab.lab.tune.tune import tune

    def tell(doing: str, left_s: float) -> None:
        events.put(Told(doing, left_s))

    try:
        with alone():
            device = this_device()
            report = write(tune(asked, catalog, device, tell, stop), device)
        events.put(Told("Done", report=report, ended=True))
    except Stopped:
        events.put(Told("Stopped", ended=True))
    except BaseException as error:  # handed over: it is raised where the page waits
        events.put(error)


def _after(told: Told, events: queue.SimpleQueue[object]) -> Told:
    """The last of what happened, or the same again where nothing did for a moment."""
    try:
        event = events.get(timeout=TICK_S)
        while not events.empty() and not isinstance(event, BaseException):
            event = events.get()
    except queue.Empty:
        return told
    if isinstance(event, BaseException):
        raise event
    assert isinstance(event, Told)
    return event
