"""How long a person waits: process start to the first page served, and to the answer of pick.

Each is a fresh process; medians of five after one that is not counted (it fills the disk cache).
``pick_over_python`` is pick's time over that of a Python that does nothing, on the same machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median

from benchmarks.serving import serving
from quantlab.catalog.paths import PROJECT

RUNS = 5


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"QUANTLAB_DATA": folder}
        rows = {
            "http_s": _runs(_first_page),
            "pick_s": _runs(lambda: _command(["-m", "quantlab", "pick", "--json"], environment)),
            "python_s": _runs(lambda: _command(["-c", "pass"], environment)),
        }
    print(f"{'':12}{'median s':>10}{'min s':>10}{'max s':>10}")
    for name, times in rows.items():
        print(f"{name:12}{median(times):10.2f}{min(times):10.2f}{max(times):10.2f}")
    figures = {name: round(median(times), 3) for name, times in rows.items()}
    python_s = figures.pop("python_s")
    print(json.dumps({**figures, "pick_over_python": round(figures["pick_s"] / python_s, 1)}))


def _runs(measure: Callable[[], float]) -> list[float]:
    return [measure() for _ in range(RUNS + 1)][1:]


def _command(arguments: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], cwd=PROJECT, env=environment, capture_output=True, check=True
    )
    return time.perf_counter() - started


def _first_page() -> float:
    started = time.perf_counter()
    with serving():
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
