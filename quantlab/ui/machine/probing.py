"""A probe behind the page, told of as it goes.

Knows nothing of Gradio or HTML; machine/tab.py shows what comes out here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from quantlab.lab.probe.probe import Probed
from quantlab.record.probe_run import ProbeRequest, ProbeRun
from quantlab.ui.working import working

__all__ = ["Told", "probing"]

Event = str | ProbeRun | Probed
"""What it does now, how much there is to do, a cell."""


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

    def work(tell: Callable[[Event], None]) -> None:
        run = ProbeRun(request, say=tell, stop=stop)
        tell(run)
        for cell in run.cells():
            tell(cell)

    told, since = Told(), time.monotonic()
    with closing(working(work, stop)) as each:
        for events in each:
            for event in events:
                told = _after(told, event)
                if isinstance(event, str):
                    since = time.monotonic()
            told = replace(told, doing_s=time.monotonic() - since, stopped=stop.is_set())
            yield told
    yield replace(told, ended=True, stopped=stop.is_set())


def _after(told: Told, event: Event) -> Told:
    if isinstance(event, str):
        return replace(told, doing=event)
    if isinstance(event, ProbeRun):
        return replace(told, total=event.total, reused=event.reused())
    return replace(told, cells=(*told.cells, event))
