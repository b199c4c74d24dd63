"""A probe behind the page: in a thread, told of as it goes.

Knows nothing of Gradio or HTML; machine/tab.py shows what comes out here.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from quantlab.lab.probe.probe import Probed
from quantlab.record.probe_run import ProbeRequest, ProbeRun

__all__ = ["Told", "probing"]

TICK_S = 1.0
"""Something is told at least this often, so that a page that was closed is noticed."""
END_S = 10.0
"""A probe that was stopped ends its process within this time."""


@dataclass(frozen=True)
class Told:
    """How far a probe is. ``total`` is 0 until it is known what there is to do."""

    cells: tuple[Probed, ...] = ()
    total: int = 0
    reused: str = ""
    doing: str = "Starting"
    doing_s: float = 0.0
    ended: bool = False
    stopped: bool = False


def probing(request: ProbeRequest, stop: threading.Event) -> Iterator[Told]:
    """Probe, and tell of it until it has ended, or was stopped by ``stop``.

    Raises:
        QuantlabError: what was asked for cannot be probed.
    """
    events: queue.SimpleQueue[object] = queue.SimpleQueue()
    thread = threading.Thread(target=_work, args=(request, stop, events), daemon=True)
    thread.start()
    try:
        yield from _tell(events, stop)
    finally:
        stop.set()  # where the page was closed in the middle
        thread.join(END_S)


def _work(request: ProbeRequest, stop: threading.Event, events: queue.SimpleQueue[object]) -> None:
    try:
        run = ProbeRun(request, say=events.put, stop=stop)
        events.put(run)
        for cell in run.cells():
            events.put(cell)
    except BaseException as error:  # handed over: it is raised where the page waits
        events.put(error)
    events.put(None)


def _tell(events: queue.SimpleQueue[object], stop: threading.Event) -> Iterator[Told]:
    told, since = Told(), time.monotonic()
    while not told.ended:
        for event in _taken(events):
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, str):
                told, since = replace(told, doing=event), time.monotonic()
            elif isinstance(event, ProbeRun):
                told = replace(told, total=event.total, reused=event.reused())
            elif isinstance(event, Probed):
                told = replace(told, cells=(*told.cells, event))
            else:
                told = replace(told, ended=True)
        yield replace(told, doing_s=time.monotonic() - since, stopped=stop.is_set())


def _taken(events: queue.SimpleQueue[object]) -> list[object]:
    """All events that are there, or those of the next moment; none where nothing happens."""
    try:
        taken = [events.get(timeout=TICK_S)]
    except queue.Empty:
        return []
    while not events.empty():
        taken.append(events.get())
    return taken
