"""Everything that quantlab claims of a GPU, tried on one: bytes, peaks, seconds, scripts, failures.

    python -m benchmarks.gpu_day --out rows.jsonl
    python -m benchmarks.gpu_day --scale mini --parts card flux

No network and no downloaded weights: flux-mini draws, the large models are shapes with random
weights, which take the memory and the time of trained ones. Each part runs in processes of its
own; one that dies goes on behind the item that killed it, one that takes too long is ended, and
what was measured till then stays. Rows are JSON lines, written as they come; a table and a last
line of JSON sum them up. ``--scale mini`` runs the same code on any machine with small shapes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_day.book import Book, machine, read
from benchmarks.gpu_day.report import figures, show

__all__ = ["PARTS", "main"]


@dataclass(frozen=True)
class Part:
    """A module of this package and its seconds at most; in more than one process, or beside
    others, where nothing of it is timed."""

    module: str
    seconds: float
    beside: bool = False
    processes: int = 1


PARTS = {
    "mini": Part("mini", 80, beside=True, processes=14),
    "script": Part("script", 80, beside=True, processes=4),
    "space": Part("space", 80, beside=True),
    "card": Part("card", 45),
    "flux": Part("flux", 215),
    "year": Part("year", 70),
}
"""In the order of their worth. Those that draw with flux-mini run at once, what is timed alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts, print the table, and the figures as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scale", choices=("full", "mini"), default="full")
    parser.add_argument("--items", nargs="+", help="these items of the parts alone")
    parser.add_argument("--seconds", type=float, default=460, help="no item is begun after these")
    parser.add_argument("--out", type=Path, default=Path("gpu-day.jsonl"))
    parser.add_argument("--alone", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.alone:
        _work(asked.alone, asked.items, asked.scale, asked.out, asked.seconds)
        return 0
    asked.out.unlink(missing_ok=True)
    ends = time.time() + asked.seconds
    together = [name for name in asked.parts if PARTS[name].beside]
    runs = [
        _Run(name, items, asked)
        for name in together
        for items in _shares(name, asked.scale, asked.items)
    ]
    _finish(runs, ends)
    for name in asked.parts:
        if name not in together:
            wanted = _wanted(name, asked.scale, asked.items)
            if wanted:
                _finish([_Run(name, wanted, asked)], ends)
    rows = list(read(asked.out))
    show(rows)
    print(json.dumps(figures(rows)))
    return 0


def _module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.gpu_day.{PARTS[name].module}")


def _wanted(name: str, scale: str, only: Iterable[str] | None) -> list[str]:
    known = _module(name).items(scale)
    return [item for item in known if not only or item in only]


def _shares(name: str, scale: str, only: Iterable[str] | None) -> list[list[str]]:
    """Items of a part that draws, spread over a few processes."""
    wanted = _wanted(name, scale, only)
    count = min(len(wanted), PARTS[name].processes)
    return [wanted[start::count] for start in range(count)]


class _Run:
    """The process of a part, begun anew behind an item that killed it."""

    def __init__(self, name: str, items: list[str], asked: argparse.Namespace) -> None:
        self.name, self.left, self.asked = name, list(items), asked
        self.ends = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, ends: float) -> None:
        """Begin with what is left."""
        self.ends = self.ends or min(ends, time.time() + PARTS[self.name].seconds)
        command = [sys.executable, "-m", "benchmarks.gpu_day", "--alone", self.name]
        command += ["--items", *self.left, "--scale", self.asked.scale]
        command += ["--out", str(self.asked.out), "--seconds", str(self.ends)]
        more = {"OMP_NUM_THREADS": "2"} if PARTS[self.name].beside else {}
        self.process = subprocess.Popen(
            command, start_new_session=True, stdout=sys.stderr, env=os.environ | more
        )

    def over(self, ends: float) -> bool:
        """Whether all is done; a process that died is replaced, one that is late is ended."""
        assert self.process is not None
        late = time.time() > self.ends + GRACE_S
        if self.process.poll() is None and not late:
            return False
        status = self.process.poll()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if status == 0:
            return True
        reason = "took too long" if late else f"the process ended with {status}"
        self._note(reason)
        if late or not self.left or time.time() > min(self.ends, ends):
            return True
        self.start(ends)
        return False

    def _note(self, reason: str) -> None:
        """A row for the item that was under way; what came before it is not done again."""
        seen = [r for r in read(self.asked.out) if r["part"] == self.name]
        begun = {row["item"] for row in seen if row["what"] == "begun"} & set(self.left)
        ended = {row["item"] for row in seen if row["what"] == "ended"}
        book = Book(self.asked.out, self.name)
        for item in [i for i in self.left if i in begun - ended] or self.left[:1]:
            book.item = item
            book.add("failed", reason=reason)
            begun.add(item)
        self.left = [item for item in self.left if item not in begun]


GRACE_S = 15.0
"""What an item that was begun in time may take beyond it."""


def _finish(runs: list[_Run], ends: float) -> None:
    for run in runs:
        run.start(ends)
    while runs:
        runs = [run for run in runs if not run.over(ends)]
        time.sleep(0.1)


def _work(name: str, items: list[str], scale: str, out: Path, ends: float) -> None:
    """The process of a part."""
    book = Book(out, name, machine())
    module = _module(name)
    with module.prepared(book, scale) as work:
        for item in items:
            book.item = item
            if time.time() > ends:
                book.add("skipped", reason="the time was over")
                continue
            book.add("begun")
            started = time.time()
            try:
                work(item)
            except Exception as error:  # whatever a backend raises is this item's row
                _failed(book, error)
            book.add("ended", seconds=round(time.time() - started, 2))


def _failed(book: Book, error: Exception) -> None:
    import traceback

    from quantlab.errors import first_line
    from quantlab.lab.load.oom import forget

    trace = "".join(traceback.format_exception(error)[-6:])[-2500:]
    book.add("failed", reason=f"{type(error).__name__}: {first_line(error)}", trace=trace)
    forget(error)


if __name__ == "__main__":
    sys.exit(main())
