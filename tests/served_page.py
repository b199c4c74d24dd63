"""The page as app.py serves it, in this process, on a port of its own; and a runner that counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quantlab.catalog.table import load_catalog
from quantlab.lab.runners.runner import Machine, Runner
from quantlab.record.store.store import Store
from quantlab.ui.page import build
from quantlab.ui.serve import serve
from quantlab.ui.services import Services
from quantlab.ui.visitors.limits import Limits
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event, Failure, Finished, Outcome, Progress
from tests.ports import free_port

__all__ = ["Counting", "served"]


class Counting:
    """Runs nothing: counts what it was asked to, and how much of that at the same time.

    Each run waits until ``free`` is set (as it is at first) or the run is stopped.
    """

    def __init__(self) -> None:
        self.asked: list[Comparison] = []
        self.free = threading.Event()
        self.free.set()
        self.most_at_once = 0
        self._now = 0

    def stream(
        self,
        comparison: Comparison,
        *,
        out: Path,  # noqa: ARG002
        stop: threading.Event,
        repeats: int = 1,  # noqa: ARG002
        warmup: int = 1,  # noqa: ARG002
    ) -> Iterator[Event]:
        self.asked.append(comparison)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        for index, plan in enumerate(comparison.plans):
            yield Progress(index, "waiting", 0)
            while not self.free.wait(0.01) and not stop.is_set():
                pass
            stage = "stopped" if stop.is_set() else "load"
            yield Finished(index, Outcome(str(plan), "failed", error=Failure(stage, "E", "no")))
        self._now -= 1

    def machine(self) -> Machine:
        return {"name": "none"}, {}

    def cost_s(self, comparison: Comparison) -> int | None:  # noqa: ARG002
        return None


@contextmanager
def served(
    runner: Runner, folder: Path, limits: Limits | None = None
) -> Iterator[tuple[str, Services]]:
    """Address and services of a page over ``runner`` whose results go to ``folder``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SPACE_ID", "GRADIO_SERVER_NAME", "GRADIO_ROOT_PATH"):
            patch.delenv(name, raising=False)
        patch.setenv("GRADIO_SERVER_PORT", str(free_port()))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        services = Services(load_catalog(), runner, Store(folder / "data"))
        page = build(services)
        try:
            yield serve(page, wait=False, limits=limits), services
        finally:
            page.close(verbose=False)
