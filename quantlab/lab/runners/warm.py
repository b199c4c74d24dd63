"""The warm start: libraries and the small model are loaded before the first visitor presses Run."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from quantlab.errors import QuantlabError, Unavailable
from quantlab.lab.keep.scratch import scratch
from quantlab.lab.libraries import resolve
from quantlab.lab.runners.local import LocalRunner
from quantlab.lab.runners.runner import Runner
from quantlab.words.comparison import Comparison

__all__ = ["start_warm"]

log = logging.getLogger(__name__)
NICENESS = 10


def start_warm(runner: Runner, comparisons: Sequence[Comparison]) -> threading.Thread:
    """Import what a run needs and, where runs happen in this process, do ``comparisons`` once.

    In a thread of low priority, which is given back between two comparisons: a visitor's run waits
    for one of them at most.
    """

    def work() -> None:
        if hasattr(os, "setpriority"):  # of this thread alone, on Linux
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        with contextlib.suppress(Unavailable):  # a run says so, in its own column
            resolve("diffusers.FluxPipeline")
        if not isinstance(runner, LocalRunner):
            return  # runs happen elsewhere
        for comparison in comparisons:
            with scratch() as folder:
                try:
                    runner.warm_up(comparison, Path(folder))
                except QuantlabError as error:
                    log.info("not warmed up: %s", error)

    thread = threading.Thread(target=work, name="quantlab-warm-up", daemon=True)
    thread.start()
    return thread
