"""What a runner is: the one seam between the page and the machine.

``BesideRunner`` (beside.py) runs in a process beside the page's, where a ``LocalRunner`` (local.py)
does the work, ``ZeroGpuRunner`` (zerogpu.py) in a worker of a ZeroGPU Space. Tests of the page may
put a stand-in here, and only here.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event

__all__ = ["Machine", "OwnRunner", "Runner", "events_of"]

Machine = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Device and library versions."""


class Runner(Protocol):
    """Runs one comparison and hands out its events as they happen."""

    def stream(
        self,
        comparison: Comparison,
        *,
        out: Path,
        stop: threading.Event,
        repeats: int = 1,
        warmup: int = 1,
    ) -> Iterator[Event]:
        """Yield ``Progress`` and, for each plan in order, one ``Finished``.

        Images are written under ``out``. Setting ``stop`` ends the run at the next step: the plan
        under way and those after it come back as failed outcomes of stage "stopped".
        """
        ...

    def machine(self) -> Machine:
        """Device and library versions that the outcomes were measured with.

        Raises:
            Unavailable: they are not known before something has run.
        """
        ...

    def cost_s(self, comparison: Comparison) -> float | None:
        """Seconds of a visitor's quota that running ``comparison`` asks for; None without one."""
        ...


class OwnRunner(ABC):
    """A runner on the page's own machine."""

    @abstractmethod
    def warm_up(self, comparison: Comparison, out: Path) -> None:
        """Do ``comparison`` once, in this thread, at low priority: what it takes is loaded then.

        Where somebody presses Run meanwhile, what is under way is done at the usual priority, and
        the rest is left to their run.
        """

    @abstractmethod
    def alone(self) -> AbstractContextManager[None]:
        """Context manager: no comparison runs meanwhile."""


def events_of(work: Callable[[Callable[[Event], None]], None]) -> Iterator[Event]:
    """Run ``work`` in a thread and yield what it reports; its error is raised here at the end."""
    events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()

    def body() -> None:
        try:
            work(events.put)
        except BaseException as error:
            events.put(error)
        else:
            events.put(None)

    thread = threading.Thread(target=body, name="quantlab-compare", daemon=True)
    thread.start()
    while (event := events.get()) is not None:
        if isinstance(event, BaseException):
            raise event
        yield event
    thread.join()
