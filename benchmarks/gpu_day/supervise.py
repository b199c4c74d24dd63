"""Processes of parts, watched: one that dies goes on behind what killed it, one that is late ends.

When a process may begin, and until when, stands in a file, its gate: so that it can be prepared
while others run, and be timed alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.gpu_day.book import Book, read

__all__ = ["GRACE_S", "Run", "finish"]

GRACE_S = 15.0
"""What an item that was begun in time may take beyond it."""


class Run:
    """One process of ``part`` with its items, ``seconds`` at most from when it may begin.

    ``command`` is what starts it; the items, the file of the rows and the gate are added.
    """

    def __init__(
        self, part: str, command: Sequence[str], items: Iterable[str], out: Path, seconds: float
    ) -> None:
        self.part, self.command, self.out = part, list(command), out
        self.left, self.seconds, self.ends = list(items), seconds, 0.0
        self.gate = out.with_name(f"{out.name}.{part}-{id(self)}")
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, more: Mapping[str, str] | None = None) -> None:
        """Start the process, unless it is there; it waits for its gate."""
        if self._process is not None and self._process.poll() is None:
            return
        command = [*self.command, "--items", *self.left]
        command += ["--out", str(self.out), "--gate", str(self.gate)]
        self._process = subprocess.Popen(
            command, start_new_session=True, stdout=sys.stderr, env=os.environ | (more or {})
        )

    def begin(self, ends: float, more: Mapping[str, str] | None = None) -> None:
        """Open the gate; no item is begun after ``ends``."""
        self.ends = min(ends, time.time() + self.seconds)
        part = self.gate.with_suffix(".part")
        part.write_text(str(self.ends), encoding="utf-8")
        part.rename(self.gate)
        self.prepare(more)

    def over(self) -> bool:
        """Whether all is done; a process that died is replaced, one that is late is ended."""
        assert self._process is not None
        late = time.time() > self.ends + GRACE_S
        status = self._process.poll()
        if status is None and not late:
            return False
        self.end()
        if status != 0:
            self._note("took too long" if late else f"the process ended with {status}")
            if self.left and not late and time.time() < self.ends:
                self.prepare()
                return False
        self.gate.unlink(missing_ok=True)
        return True

    def end(self) -> None:
        """Kill the process and what it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _note(self, reason: str) -> None:
        """A row for the item that was under way; what came before it is not done again."""
        seen = [row for row in read(self.out) if row["part"] == self.part]
        begun = {row["item"] for row in seen if row["what"] == "begun"} & set(self.left)
        done = {row["item"] for row in seen if row["what"] in ("ended", "skipped")}
        broken = [item for item in self.left if item in begun - done]
        if not begun:  # it died before the first
            broken = self.left[:1]
        about = next((row for row in seen if row["what"] == "begun"), {})  # nothing but the machine
        own = ("part", "item", "what", "at")
        book = Book(self.out, self.part, {k: v for k, v in about.items() if k not in own})
        for book.item in broken:
            book.add("failed", reason=reason)
        self.left = [item for item in self.left if item not in {*begun, *done, *broken}]


def finish(runs: Iterable[Run], ends: float, more: Mapping[str, str] | None = None) -> None:
    """Let all of ``runs`` begin, and wait for them."""
    running = list(runs)
    try:
        for run in running:
            run.begin(ends, more)
        while running:
            running = [run for run in running if not run.over()]
            time.sleep(0.05)
    finally:
        for run in running:
            run.end()
