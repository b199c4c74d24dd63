"""A ZeroGPU Space rehearsed: the real client with CUDA, a stand-in for its service."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.gpu_day.book import Book
from quantlab.catalog.paths import PROJECT

__all__ = ["items", "prepared"]

PLANS = ("fp32", "bnb-nf4", "torchao-int8wo")


def items(scale: str) -> tuple[str, ...]:
    """One run; the tests of the project rehearse it on a CPU, so that it is left out there."""
    return ("rehearsal",) if scale == "full" else ()


@contextmanager
def prepared(book: Book, scale: str) -> Iterator[Callable[[str], None]]:  # noqa: ARG001
    """Yields what runs the rehearsal."""

    def work(item: str) -> None:  # noqa: ARG001
        command = [sys.executable, "-m", "tools.zerogpu_rehearsal", "--plans", *PLANS]
        done = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=110, check=False
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        for outcome in (line for line in lines if "plan" in line):
            book.add("outcome", **(outcome | {"image": None}))
        told = [line for line in done.stderr.splitlines() if line.startswith(("quota", "took"))]
        if done.returncode:
            book.add("failed", reason=done.stderr[-1500:])
        book.add("rehearsal", status=done.returncode, told=told)

    yield work
