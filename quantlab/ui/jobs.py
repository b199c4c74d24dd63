"""Who waits and who runs: one comparison or probe at a time, two jobs a visitor at most.

The line is kept here and not by Gradio, whose queue knows callers but no visitors: one visitor's
jobs filled it for everybody, and cheap requests waited behind them. Knows nothing of Gradio; what
a job is does not matter here.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

from quantlab.errors import InputError

__all__ = ["PER_VISITOR", "Jobs", "Wait"]

Phase = Literal["waiting", "running"]
PER_VISITOR = 2
"""One that runs and one that waits."""
MOST = 24
"""Jobs in the line, of all visitors: each that waits holds one of Gradio's slots for callers."""
LOOK_S = 0.1
"""How often somebody who waits looks whether it is their turn."""
TELL_S = 1.0
"""How often they are told how long it may still take."""
SILENT_S = 15.0
"""Who waits and does not look for so long is gone: nobody waits behind a job that never starts."""


@dataclass
class _Entry:
    session: str
    visitor: str
    phase: Phase = "waiting"
    since: float = 0.0
    seen: float = field(default_factory=time.monotonic)
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Wait:
    """How many jobs are before this one, and about how many seconds they take; None: unknown."""

    ahead: int
    seconds: float | None


class Jobs:
    """Jobs that wait or run, by a token of their own, in the order in which they came."""

    def __init__(self, per_visitor: int = PER_VISITOR, silent_s: float = SILENT_S) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, _Entry] = {}
        self._per_visitor, self._silent_s = per_visitor, silent_s
        self._took: deque[float] = deque(maxlen=10)

    def queue(self, session: str, visitor: str | None = None) -> tuple[str, int]:
        """A new job of ``session``: its token, and how many jobs were there before it.

        ``visitor`` is whom the limit is held against; the session where nothing more is known.

        Raises:
            InputError: the visitor has a job that runs and one that waits already, or the line
                is full.
        """
        who = visitor or session
        token = secrets.token_hex(8)
        with self._lock:
            self._drop_silent()
            if sum(entry.visitor == who for entry in self._jobs.values()) >= self._per_visitor:
                raise InputError("run", "one of yours runs and one waits already; stop one first")
            before = len(self._jobs)
            if before >= MOST:
                raise InputError("run", f"{before} wait already; come back in a few minutes")
            self._jobs[token] = _Entry(session, who)
        return token, before

    def start(self, token: str) -> threading.Event | None:
        """The stop signal of a job whose turn it is, which runs from now; else None."""
        with self._lock:
            self._drop_silent()
            if next(iter(self._jobs), None) != token:
                return None
            entry = self._jobs[token]
            if entry.phase == "waiting":
                entry.phase, entry.since = "running", time.monotonic()
            return entry.stop

    async def turn(self, token: str) -> AsyncIterator[Wait]:
        """Wait for the job's turn, told about once a second; ends when ``start`` would take it,
        and where the job was taken out of the line."""
        told = 0.0
        while (wait := self.wait(token)) is not None and wait.ahead:
            if time.monotonic() - told >= TELL_S:
                told = time.monotonic()
                yield wait
            await asyncio.sleep(LOOK_S)

    def wait(self, token: str) -> Wait | None:
        """What is before the job; None where it is not in the line any more."""
        with self._lock:
            if token not in self._jobs:
                return None
            self._jobs[token].seen = time.monotonic()
            self._drop_silent()
            ahead = list(self._jobs).index(token)
            if not self._took or not ahead:
                return Wait(ahead, None)
            usual = sum(self._took) / len(self._took)
            first = next(iter(self._jobs.values()))
            done = time.monotonic() - first.since if first.phase == "running" else 0.0
            return Wait(ahead, max(0.0, usual - done) + (ahead - 1) * usual)

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

    @property
    def running(self) -> bool:
        """Whether a job is at work."""
        with self._lock:
            return any(entry.phase == "running" for entry in self._jobs.values())

    def end(self, token: str) -> None:
        """Forget a job that has ended."""
        with self._lock:
            entry = self._jobs.pop(token, None)
            if entry is not None and entry.phase == "running":
                self._took.append(time.monotonic() - entry.since)

    def _drop_silent(self) -> None:
        """Forget jobs that wait and whose callers have not looked for long. The lock is held."""
        oldest = time.monotonic() - self._silent_s
        for token, entry in list(self._jobs.items()):
            if entry.phase == "waiting" and entry.seen < oldest:
                del self._jobs[token]

    def __len__(self) -> int:
        return len(self._jobs)
