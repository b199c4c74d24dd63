"""The warm start: libraries and the small model are loaded before the first visitor presses Run."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from quantlab.catalog.table import load_catalog
from quantlab.errors import QuantlabError, Unavailable
from quantlab.lab.keep.scratch import scratch
from quantlab.lab.libraries import resolve
from quantlab.lab.runners.priority import LowPriority
from quantlab.lab.runners.runner import OwnRunner, Runner
from quantlab.words.comparison import Comparison

__all__ = ["start_warm"]

log = logging.getLogger(__name__)


def start_warm(runner: Runner, comparisons: Sequence[Comparison]) -> threading.Thread:
    """Import what a run needs and, where runs happen on this machine, do ``comparisons`` once.

    In a thread of low priority, which gives way to a visitor's run; see ``OwnRunner.warm_up``.
    """

    def work() -> None:
        if not isinstance(runner, OwnRunner):  # runs happen elsewhere
            models = load_catalog().models
            with (
                LowPriority(),
                contextlib.suppress(Unavailable),
            ):  # a run says so itself
                for name in dict.fromkeys(models[each.model].pipeline for each in comparisons):
                    resolve(f"diffusers.{name}")
            return
        for comparison in comparisons:
            with scratch() as folder:
                try:
                    runner.warm_up(comparison, Path(folder))
                except QuantlabError as error:
                    log.info("not warmed up: %s", error)

    thread = threading.Thread(target=work, name="quantlab-warm-up", daemon=True)
    thread.start()
    return thread
