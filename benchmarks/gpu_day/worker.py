"""The inside of a part's process: its items one by one, each error a row."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_day.book import Book, machine
from quantlab.errors import first_line
from quantlab.lab.device import this_device
from quantlab.lab.load.oom import forget

__all__ = ["BROKEN", "work"]

BROKEN = 3
"""The status of a process whose device an error has left unusable."""


def work(part: str, module: Any, items: Sequence[str], scale: str, out: Path, gate: Path) -> None:
    """Prepare ``module``, wait for ``gate``, which says until when items may begin, and try them.

    ``module`` has ``prepared(book, scale)``, a context manager that yields what tries an item.
    """
    book = Book(out, part, machine())
    with module.prepared(book, scale) as attempt:
        while not gate.exists():
            time.sleep(0.05)
        ends = float(gate.read_text(encoding="utf-8"))
        for book.item in items:
            if time.time() > ends:
                book.add("skipped", reason="the time was over")
                continue
            book.add("begun")
            started = time.time()
            try:
                attempt(book.item)
            except Exception as error:  # whatever a backend raises is this item's row
                trace = "".join(traceback.format_exception(error)[-6:])[-2500:]
                said = f"{type(error).__name__}: {first_line(error)}"
                book.add("failed", reason=said, trace=trace)
                forget(error)
            book.add("ended", seconds=round(time.time() - started, 2))
            if _broken():
                os._exit(BROKEN)  # every later call would fail too: a new process goes on


def _broken() -> bool:
    try:
        this_device().clock()
    except Exception:  # whatever the backend says
        return True
    return False
