"""Who waits and who runs: a stop signal for each job, found by the visitor's session."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Sessions"]

Phase = Literal["queued", "running"]


@dataclass
class _Entry:
    session: str
    phase: Phase = "queued"
    stop: threading.Event = field(default_factory=threading.Event)


class Sessions:
    """Jobs that wait or run, by a token of their own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, _Entry] = {}

    def queue(self, session: str) -> tuple[str, int]:
        """A new job of ``session``: its token, and how many jobs were there before it."""
        token = secrets.token_hex(8)
        with self._lock:
            before = len(self._jobs)
            self._jobs[token] = _Entry(session)
        return token, before

    def start(self, token: str) -> threading.Event | None:
        """The job's turn has come: its stop signal, or None where nobody waits for it any more."""
        with self._lock:
            entry = self._jobs.get(token)
            if entry is None:
                return None
            entry.phase = "running"
            return entry.stop

    def stop(self, session: str) -> bool:
        """Stop what ``session`` runs and forget what it has waiting; True where it runs a job."""
        running = False
        with self._lock:
            for token, entry in list(self._jobs.items()):
                if entry.session != session:
                    continue
                entry.stop.set()
                if entry.phase == "running":
                    running = True
                else:
                    del self._jobs[token]
        return running

    def busy(self, session: str) -> bool:
        """Whether ``session`` has a job that waits or runs."""
        with self._lock:
            return any(entry.session == session for entry in self._jobs.values())

    def end(self, token: str) -> None:
        """Forget a job that has ended."""
        with self._lock:
            self._jobs.pop(token, None)

    def __len__(self) -> int:
        return len(self._jobs)
