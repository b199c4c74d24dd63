"""Who is waiting and who is running: one stop signal for each visitor's session."""

from __future__ import annotations

import threading
from typing import Literal

__all__ = ["Sessions"]

Phase = Literal["queued", "running"]


class Sessions:
    """Stop signals by session. A session has at most one comparison queued or running."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: dict[str, tuple[Phase, threading.Event]] = {}

    def queue(self, session: str) -> int:
        """Note that ``session`` waits for its turn; gives how many were there before it."""
        with self._lock:
            before = len(self._stops.keys() - {session})
            self._stops[session] = ("queued", threading.Event())
            return before

    def start(self, session: str) -> threading.Event:
        """Note that ``session`` runs now; its stop signal may have been given while it waited."""
        with self._lock:
            _, stop = self._stops.get(session, ("queued", threading.Event()))
            self._stops[session] = ("running", stop)
            return stop

    def stop(self, session: str) -> Phase | None:
        """Give the stop signal; what the session was doing, or None where it did nothing."""
        with self._lock:
            phase, stop = self._stops.get(session, (None, None))
            if stop is not None:
                stop.set()
            return phase

    def end(self, session: str, stop: threading.Event) -> None:
        """Forget ``session``, unless it has queued again since ``stop`` was handed out."""
        with self._lock:
            if self._stops.get(session, (None, None))[1] is stop:
                del self._stops[session]

    def __len__(self) -> int:
        return len(self._stops)
