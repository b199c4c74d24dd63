"""How long a person waits: process start to the first page served, and to the answer of pick.

Each is a fresh process; medians of five after one that is not counted (it fills the disk cache).
``pick_over_python`` is pick's time over that of a Python that does nothing, on the same machine.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from statistics import median

from quantlab.catalog.paths import PROJECT

RUNS = 5
LIMIT_S = 120.0


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"QUANTLAB_DATA": folder}
        rows = {
            "http_s": _runs(lambda: _first_page(environment)),
            "pick_s": _runs(lambda: _command(["-m", "quantlab", "pick", "--json"], environment)),
            "python_s": _runs(lambda: _command(["-c", "pass"], environment)),
        }
    print(f"{'':12}{'median s':>10}{'min s':>10}{'max s':>10}")
    for name, times in rows.items():
        print(f"{name:12}{median(times):10.2f}{min(times):10.2f}{max(times):10.2f}")
    figures = {name: round(median(times), 3) for name, times in rows.items()}
    python_s = figures.pop("python_s")
    print(json.dumps({**figures, "pick_over_python": round(figures["pick_s"] / python_s, 1)}))


def _runs(measure: object) -> list[float]:
    assert callable(measure)
    return [measure() for _ in range(RUNS + 1)][1:]


def _command(arguments: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], cwd=PROJECT, env=environment, capture_output=True, check=True
    )
    return time.perf_counter() - started


def _first_page(environment: dict[str, str]) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = environment | {"GRADIO_SERVER_PORT": str(port)}
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            while time.perf_counter() - started < LIMIT_S:
                if _answers(f"http://127.0.0.1:{port}/"):
                    return time.perf_counter() - started
                time.sleep(0.02)
        finally:
            server.terminate()
    raise SystemExit(f"no page within {LIMIT_S:.0f} s")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    main()
