"""A tuning behind the page, told of as it goes.

Knows nothing of Gradio or HTML; tuning/section.py shows what comes out here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from typing import Any

from quantlab.catalog.table import Catalog
from quantlab.errors import Stopped
from quantlab.lab.tune.question import Question
from quantlab.ui.working import working

__all__ = ["Told", "tuning"]

Alone = Callable[[], AbstractContextManager[None]]


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

    def work(tell: Callable[[Told], None]) -> None:
        # Imported here: torch takes seconds, and the page must not wait for it.
        from quantlab.lab.device import this_device
        from quantlab.lab.tune.report import write
        from quantlab.lab.tune.tune import tune

        try:
            with alone():
                device = this_device()
                found = tune(asked, catalog, device, lambda *said: tell(Told(*said)), stop)
                report = write(found, device)
            tell(Told("Done", report=report, ended=True))
        except Stopped:
            tell(Told("Stopped", ended=True))

    told = Told()
    with closing(working(work, stop)) as each:
        for events in each:
            told = replace(events[-1] if events else told, stopped=stop.is_set())
            yield told
