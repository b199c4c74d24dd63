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
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_day.book import read
from benchmarks.gpu_day.report import figures, show
from benchmarks.gpu_day.supervise import Run, finish
from benchmarks.gpu_day.worker import work

__all__ = ["PARTS", "main"]


@dataclass(frozen=True)
class Part:
    """The seconds of a part at most; how many processes share its items, where nothing of it is
    timed and others may run beside it; whether it is worth preparing before its turn."""

    seconds: float
    processes: int = 0
    slow_start: bool = False


PARTS = {
    "mini": Part(75, processes=16),
    "script": Part(80, processes=8),
    "space": Part(80, processes=1),
    "card": Part(20),
    "flux": Part(280, slow_start=True),
    "year": Part(70),
    "linear": Part(45),
}
"""Modules of this package, in the order of their worth."""

FEW_THREADS = {"OMP_NUM_THREADS": "2"}
"""For those that run beside each other."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts, print the table, and the figures as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scale", choices=("full", "mini"), default="full")
    parser.add_argument("--items", nargs="+", help="these items of the parts alone")
    parser.add_argument("--seconds", type=float, default=460, help="no item is begun after these")
    parser.add_argument("--out", type=Path, default=Path("gpu-day.jsonl"))
    parser.add_argument("--alone", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--gate", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.alone:
        work(
            asked.alone, _module(asked.alone), asked.items, asked.scale, asked.out, asked.gate
        )  # fmt: skip
        return 0
    asked.out.unlink(missing_ok=True)
    _all(asked, time.time() + asked.seconds)
    rows = list(read(asked.out))
    show(rows)
    print(json.dumps(figures(rows)))
    return 0


def _all(asked: argparse.Namespace, ends: float) -> None:
    """Those that run beside each other, then the others one by one."""
    together = [name for name in asked.parts if PARTS[name].processes]
    timed = {name: _runs(name, asked) for name in asked.parts if name not in together}
    for name, runs in timed.items():
        for run in runs if together and PARTS[name].slow_start else ():
            run.prepare()
    try:
        finish([run for name in together for run in _runs(name, asked)], ends, FEW_THREADS)
        for runs in timed.values():
            finish(runs, ends)
    finally:
        for run in (run for runs in timed.values() for run in runs):
            run.end()


def _runs(name: str, asked: argparse.Namespace) -> list[Run]:
    """The processes of a part, its items spread over them."""
    known = _module(name).items(asked.scale)
    wanted = [item for item in known if not asked.items or item in asked.items]
    count = min(len(wanted), max(1, PARTS[name].processes))
    command = [sys.executable, "-m", "benchmarks.gpu_day", "--alone", name, "--scale", asked.scale]
    return [
        Run(name, command, wanted[start::count], asked.out, PARTS[name].seconds)
        for start in range(count)
    ]


def _module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.gpu_day.{name}")


if __name__ == "__main__":
    sys.exit(main())
