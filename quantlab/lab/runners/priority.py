"""A thread that steps back for others, until somebody waits for what it does."""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType

__all__ = ["LowPriority"]

NICENESS = 10


class LowPriority:
    """Context manager: this thread alone is given low priority, where the system can do that (Linux
    can). ``lift`` takes it back from any thread, where the system lets this user do so."""

    def __init__(self) -> None:
        self._thread = 0
        self._usual: int | None = None

    def __enter__(self) -> LowPriority:
        self._thread = threading.get_native_id()
        if hasattr(os, "setpriority"):
            with contextlib.suppress(OSError):
                self._usual = os.getpriority(os.PRIO_PROCESS, self._thread)
                os.setpriority(os.PRIO_PROCESS, self._thread, max(self._usual, NICENESS))
        return self

    def lift(self) -> None:
        """Back to the usual priority."""
        if self._usual is not None:
            with contextlib.suppress(OSError):  # not everybody may raise a priority again
                os.setpriority(os.PRIO_PROCESS, self._thread, self._usual)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lift()
