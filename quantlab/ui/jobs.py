"""Who waits and who runs: one comparison or probe at a time, two jobs a visitor at most.

The line is kept here and not by Gradio, whose queue knows callers but no visitors: one visitor's
jobs filled it for everybody, and cheap requests waited behind them. Visitors take turns: whoever
has had one stands behind all who waited for theirs. Knows nothing of Gradio; what a job is does not
matter here.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
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
"""How often somebody who waits says that they still do, and hears whether they are heard; that it
is their turn they are told at once."""
TELL_S = 1.0
"""How often they are told how long it may still take."""
SILENT_S = 15.0
"""Who waits and does not look for so long is gone: nobody waits behind a job that never starts."""
PATIENCE_S = 20.0
"""How long a job that can be found again goes on without anybody: a page that is reloaded on a slow
line is back by then, and others do not wait long behind one that was closed."""


@dataclass
class _Entry:
    session: str
    visitor: str
    phase: Phase = "waiting"
    since: float = 0.0
    seen: float = field(default_factory=time.monotonic)
    stop: threading.Event = field(default_factory=threading.Event)
    work: object = None
    begin: Callable[[threading.Event], object] | None = None
    left: bool = False


@dataclass(frozen=True)
class Wait:
    """How many jobs are before this one, and about how many seconds they take; None: unknown."""

    ahead: int
    seconds: float | None


class Jobs:
    """Jobs that wait or run, by a token of their own."""

    def __init__(
        self,
        per_visitor: int = PER_VISITOR,
        silent_s: float = SILENT_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.patience_s = patience_s
        self._lock = threading.Lock()
        self._jobs: dict[str, _Entry] = {}
        self._per_visitor, self._silent_s = per_visitor, silent_s
        self._took: deque[float] = deque(maxlen=10)
        self._ended: dict[str, object] = {}
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

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
            if next(iter(self._line()), None) != token:
                return None
            entry = self._jobs[token]
            if entry.phase == "waiting":
                entry.phase, entry.since = "running", time.monotonic()
            return entry.stop

    async def turn(self, token: str) -> AsyncIterator[Wait]:
        """Wait for the job's turn, told about once a second; ends when ``start`` would take it,
        and where the job was taken out of the line."""
        told, shorter = 0.0, asyncio.Event()
        waiter = (asyncio.get_running_loop(), shorter)
        self._waiting.add(waiter)
        try:
            while (wait := self.wait(token)) is not None and wait.ahead:
                if time.monotonic() - told >= TELL_S:
                    told = time.monotonic()
                    yield wait
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(shorter.wait(), LOOK_S)
                shorter.clear()
        finally:
            self._waiting.discard(waiter)

    def run_in_turn(self, token: str, begin: Callable[[threading.Event], object]) -> None:
        """Have the job run as soon as its turn has come, now or later, though nobody asks: the line
        does not stand idle until the page that has just handed it in asks what becomes of it.
        ``begin`` is called once, with its stop signal, from any thread. A job whose visitor is gone
        waits for whoever comes back for it."""
        with self._lock:
            if token in self._jobs:
                self._jobs[token].begin = begin
        self._begin_first()

    def _begin_first(self) -> None:
        with self._lock:
            self._drop_silent()
            first = next(iter(self._line()), "")
            entry = self._jobs.get(first)
            if entry is None or entry.begin is None or entry.left or entry.phase == "running":
                return
            entry.phase, entry.since = "running", time.monotonic()
        entry.begin(entry.stop)

    def _shortened(self) -> None:
        """Begin what is first now, and tell all who wait that the line is another."""
        self._begin_first()
        for loop, shorter in tuple(self._waiting):
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(shorter.set)

    def wait(self, token: str) -> Wait | None:
        """What is before the job; None where it is not in the line any more."""
        with self._lock:
            if token not in self._jobs:
                return None
            self._jobs[token].seen = time.monotonic()
            self._drop_silent()
            line = self._line()
            ahead = line.index(token)
            if not self._took or not ahead:
                return Wait(ahead, None)
            usual = sum(self._took) / len(self._took)
            first = self._jobs[line[0]]
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
        self._shortened()
        return running

    def keep(self, token: str, work: object) -> None:
        """Say what the job does, by which it is found again: it outlives the page it came from."""
        with self._lock:
            if token in self._jobs:
                self._jobs[token].work = work

    def work(self, token: str) -> object:
        """What ``keep`` said of a job that waits or runs, or was among the last to end: a short one
        is over before its page asks what becomes of it. Else None."""
        with self._lock:
            entry = self._jobs.get(token)
            return entry.work if entry else self._ended.get(token)

    def leave(self, session: str) -> None:
        """``session`` is gone: what can be found again is left to whoever comes back for it, and
        the rest is stopped."""
        with self._lock:
            mine = [(t, e) for t, e in self._jobs.items() if e.session == session]
            for token, entry in mine:
                if entry.work is not None:
                    entry.left = True
                    continue
                entry.stop.set()
                if entry.phase == "waiting":
                    del self._jobs[token]
        self._shortened()

    def adopt(self, token: str, session: str, *, proven: bool = False) -> bool:
        """Make a job that ``session`` has found again its own, where whose it was is gone or they
        have ``proven`` to be the same; True where it is its own now."""
        with self._lock:
            entry = self._jobs.get(token)
            if entry is None or not (entry.left or proven or entry.session == session):
                return False
            if entry.visitor == entry.session:
                entry.visitor = session
            entry.session, entry.left = session, False
            return True

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
            if entry is not None and entry.work is not None:
                self._ended[token] = entry.work
                for oldest in list(self._ended)[:-MOST]:
                    del self._ended[oldest]
            if entry is not None and entry.phase == "running":
                self._took.append(time.monotonic() - entry.since)
                for other in [t for t, e in self._jobs.items() if e.visitor == entry.visitor]:
                    self._jobs[other] = self._jobs.pop(other)  # behind those who waited meanwhile
        self._shortened()

    def _line(self) -> list[str]:
        """The jobs in the order of their turns: what runs, then visitors who run nothing, then
        those who do; each in the order in which they came. The lock is held."""
        run = {entry.visitor for entry in self._jobs.values() if entry.phase == "running"}
        place = {t: (e.phase != "running", e.visitor in run) for t, e in self._jobs.items()}
        return sorted(self._jobs, key=place.__getitem__)

    def _drop_silent(self) -> None:
        """Forget jobs that wait and whose callers have not looked for long. The lock is held."""
        oldest = time.monotonic() - self._silent_s
        for token, entry in list(self._jobs.items()):
            if entry.phase == "waiting" and entry.seen < oldest:
                del self._jobs[token]

    def __len__(self) -> int:
        return len(self._jobs)
