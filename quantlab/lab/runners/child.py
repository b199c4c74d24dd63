"""A process of its own for what may crash, hang or eat memory: started, watched, ended for sure.

The parent hands over one job as a line of JSON and reads events, a line of JSON each; a child
without a job is told things for as long as the parent lives, a line each. The child is the leader
of its own process group, so that compilers it starts end with it, and it ends with its parent even
where that is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from quantlab.catalog.paths import PACKAGE

__all__ = ["Child", "Expired", "TooMuchMemory", "serve"]

POLL_S = 0.25
PR_SET_PDEATHSIG = 1


class Expired(Exception):
    """Nothing was heard within the time limit."""


class TooMuchMemory(Exception):
    """The child and what it started hold more memory than the limit."""


class Child:
    """``python -m module`` with ``job`` on its stdin. Use as a context manager.

    Without a job it lives until this process ends: it is told things, and its log is this one's.
    """

    def __init__(self, module: str, job: Mapping[str, Any] | None = None) -> None:
        self._stderr: IO[bytes] | None = None
        if job is not None:
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(os.getpid())],
            cwd=PACKAGE.parent,  # so that -m finds this very copy
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._talk, args=(job,), daemon=True).start()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Hand over a line, to a child without a job; nothing where it has ended."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def _talk(self, job: Mapping[str, Any] | None) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            if job is not None:
                self.process.stdin.write(json.dumps(job) + "\n")
                self.process.stdin.close()
            for line in self.process.stdout:
                with contextlib.suppress(ValueError):  # it may die in the middle of a line
                    self._events.put(json.loads(line))
        except OSError:
            pass  # it died while it was spoken to
        self._events.put(None)

    def next(
        self, limit_s: float | None = None, limit_bytes: int | None = None
    ) -> dict[str, Any] | None:
        """The next event, or None when there will be none because the child has ended.

        Raises:
            Expired: nothing was heard for ``limit_s`` seconds.
            TooMuchMemory: more than ``limit_bytes`` are resident.
        """
        if limit_s is None:
            return self._events.get()
        deadline = time.monotonic() + limit_s
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Expired
            try:
                return self._events.get(timeout=min(left, POLL_S))
            except queue.Empty:
                if limit_bytes is not None and self._resident() > limit_bytes:
                    raise TooMuchMemory from None

    def _resident(self) -> int:
        import psutil

        total = 0
        try:
            root = psutil.Process(self.process.pid)
            for process in (root, *root.children(recursive=True)):
                total += process.memory_info().rss
        except psutil.Error:
            pass  # one of them has just ended
        return total

    def end(self) -> int:
        """Kill it and what it started; gives the exit status, negative for a signal."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        return self.process.wait()

    def how_it_ended(self) -> str:
        """Why there are no more events, in words; call it after ``next`` gave None."""
        try:
            code = self.process.wait(timeout=POLL_S * 20)
        except subprocess.TimeoutExpired:
            return "closed its output and went on"
        if code >= 0:
            said = self._last_words()
            return f"ended with exit status {code}" + (f": {said}" if said else "")
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
        hint = ", probably for want of memory" if self.was_killed else ""
        return f"was ended by signal {-code} ({name}){hint}"

    @property
    def was_killed(self) -> bool:
        """Whether it has ended by SIGKILL: what the system does to whom it lacks the memory for."""
        return self.process.returncode == -signal.SIGKILL

    def _last_words(self) -> str:
        if self._stderr is None:
            return ""
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        if self._stderr is not None:
            self._stderr.close()


def serve(work: Callable[[dict[str, Any], Callable[[Mapping[str, Any]], None]], None]) -> None:
    """The child's side: read the job, do ``work(job, tell)``; ``tell`` sends one event."""
    _end_with_parent()
    if not (line := sys.stdin.readline()):  # the parent has ended before it had a job
        return
    job = json.loads(line)
    # What a library prints, be it in Python or in C, must not mix with the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: Mapping[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    work(job, tell)


def _end_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, whatever this process is doing; end now
    where it has ended already, while this one was importing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(sys.argv[1]):
            os._exit(1)
