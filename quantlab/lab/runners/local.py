"""Where comparisons are run: the one seam between the page and the machine.

``LocalRunner`` runs in this process, runners/zerogpu.py's in a worker of a ZeroGPU Space. Tests of
the page may put a stand-in here, and only here.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event

if TYPE_CHECKING:
    from quantlab.lab.bench.compare import Bench

Machine = tuple[Mapping[str, Any], Mapping[str, Any]]

__all__ = ["LocalRunner", "Machine", "Runner", "events_of"]


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


class LocalRunner:
    """Runs comparisons in this process, one at a time, keeping what was loaded between them."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._bench: Bench | None = None

    def stream(
        self,
        comparison: Comparison,
        *,
        out: Path,
        stop: threading.Event,
        repeats: int = 1,
        warmup: int = 1,
    ) -> Iterator[Event]:
        """See ``Runner.stream``."""

        def work(report: Callable[[Event], None]) -> None:
            # Imported here: torch takes seconds, and the page must not wait for it.
            from quantlab.lab.bench.compare import Bench, compare

            with self._one_at_a_time:
                self._bench = self._bench or Bench()
                compare(
                    comparison,
                    bench=self._bench,
                    out=out,
                    report=report,
                    stop=stop,
                    repeats=repeats,
                    warmup=warmup,
                )

        return events_of(work)

    def machine(self) -> Machine:
        """See ``Runner.machine``. Imports torch: not to be asked before something runs."""
        from quantlab.lab.libraries import device_info, versions

        return device_info(), versions()

    def cost_s(self, comparison: Comparison) -> float | None:  # noqa: ARG002
        """See ``Runner.cost_s``: a run here costs nobody any quota."""
        return None


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
