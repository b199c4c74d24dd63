"""How busy a machine is with something else while a plan runs: its seconds mean less then."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from quantlab.lab.libraries import resolve

__all__ = ["OthersCpu"]

IDLE = ("idle", "iowait")
"""What psutil counts beside work; ``guest`` is part of ``user`` already."""
PARTS_OF_USER = ("guest", "guest_nice")


class OthersCpu:
    """Context manager: ``share`` is what other processes took of all cores, 0 to 1.

    None where so little time passed that the system's counters, which tick every 10 ms, tell
    nothing.
    """

    def __init__(self) -> None:
        self.share: float | None = None

    def __enter__(self) -> OthersCpu:
        self._all, self._busy, self._own = _now()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        everything, busy, own = _now()
        passed = everything - self._all
        if passed < 0.2:
            return
        others = (busy - self._busy) - (own - self._own)
        self.share = round(min(max(others / passed, 0.0), 1.0), 3)


def _now() -> tuple[float, float, float]:
    """Seconds of all cores since the start, those of them at work, and those of this process."""
    times: Any = resolve("psutil.cpu_times")()._asdict()
    everything = sum(value for name, value in times.items() if name not in PARTS_OF_USER)
    busy = everything - sum(times.get(name, 0.0) for name in IDLE)
    own = os.times()
    return everything, busy, own.user + own.system + own.children_user + own.children_system
