"""A series' process that dies; run as ``-m tests.series_stand_in``.

The seed of a comparison says what happens: 7 is what the system does where it lacks memory, another
odd one a segmentation fault, else an outcome.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from quantlab.lab.runners.child import serve
from quantlab.words.outcome import Outcome


def _work(job: dict[str, Any], tell: Callable[[Mapping[str, Any]], None]) -> None:
    for comparison in job["comparisons"]:
        if comparison["seed"] == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if comparison["seed"] % 2:
            ctypes.string_at(0)
        plan = comparison["plans"][-1]
        tell(Outcome(plan=plan, status="ok", latency_s=(1.0,)).as_dict())


if __name__ == "__main__":
    serve(_work)
