"""Comparisons run in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantlab.catalog.table import Catalog
from quantlab.lab.runners.priority import LowPriority
from quantlab.lab.runners.runner import Machine, OwnRunner, events_of
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event

if TYPE_CHECKING:
    from quantlab.lab.bench.compare import Bench

__all__ = ["LocalRunner"]


class LocalRunner(OwnRunner):
    """Runs comparisons in this process, one at a time, keeping what was loaded between them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._one_at_a_time = threading.Lock()
        self._bench: Bench | None = None
        self._warming: LowPriority | None = None
        self._waited_for = threading.Event()
        """Set while somebody's run waits or goes on: warming up gives way."""
        self._asked = 0
        self._counting = threading.Lock()

    def stream(
        self,
        comparison: Comparison,
        *,
        out: Path,
        stop: threading.Event,
        repeats: int = 1,
        warmup: int = 1,
        done: Collection[int] = (),
        reference: Path | None = None,
    ) -> Iterator[Event]:
        """See ``Runner.stream``, and ``lab.bench.compare.compare`` for the last two."""

        def work(report: Callable[[Event], None]) -> None:
            how = {"repeats": repeats, "warmup": warmup, "done": done, "reference": reference}
            with self._hurried():
                self._compare(comparison, out=out, report=report, stop=stop, **how)

        return events_of(work)

    def warm_up(
        self, comparison: Comparison, out: Path, report: Callable[[Event], None] = lambda _: None
    ) -> None:
        """See ``OwnRunner.warm_up``."""
        with LowPriority() as self._warming:
            if self._waited_for.is_set():
                self._warming.lift()
            how = {"repeats": 1, "warmup": 0, "report": report}
            self._compare(comparison, out=out, stop=self._waited_for, **how)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nothing else loads or runs in this process meanwhile: loading in two threads at once
        breaks both."""
        with self._hurried(), self._one_at_a_time:
            yield

    @contextmanager
    def _hurried(self) -> Iterator[None]:
        """Nothing of low priority is waited for."""
        with self._counting:
            self._asked += 1
            self._waited_for.set()
        if (warming := self._warming) is not None:
            warming.lift()
        try:
            yield
        finally:
            with self._counting:
                self._asked -= 1
                if not self._asked:
                    self._waited_for.clear()

    def _compare(self, comparison: Comparison, **more: Any) -> None:
        # Imported here: torch takes seconds, and the page must not wait for it.
        from quantlab.lab.bench.compare import Bench, compare
        from quantlab.lab.device import this_device

        with self._one_at_a_time:
            self._bench = self._bench or Bench(self._catalog, this_device())
            compare(comparison, bench=self._bench, **more)

    def machine(self) -> Machine:
        """See ``Runner.machine``. Imports torch: not to be asked before something runs."""
        from quantlab.lab.device import this_device
        from quantlab.lab.libraries import versions

        return this_device().info(), versions()

    def cost_s(self, comparison: Comparison) -> float | None:  # noqa: ARG002
        """See ``Runner.cost_s``: a run here costs nobody any quota."""
        return None
