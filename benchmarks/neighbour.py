"""How much slower quantlab is beside a busy neighbour, on the cores that both share.

The neighbour multiplies matrices with two threads that spin while they wait, as torch's do unless
they are told otherwise. One image of flux-mini and a comparison of five plans are timed quiet and
beside it, turn by turn; ratios are of medians. A fair share of two cores would be a ratio of 2; the
aim is 2.5 at most.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.device import this_device
from quantlab.lab.threads import PASSIVE

PROMPT = "a red apple on a blue background"
PLANS = ("fp32", "bnb-nf4", "torchao-int8wo", "sdnq-int8", "gguf-q4_0")
ROUNDS = 3
MOST_RATIO = 2.5
LONGEST_S = 200.0
"""After which no round is begun."""
NEIGHBOUR = """
import torch
torch.set_num_threads(2)
a = torch.randn(512, 512)
print("busy", flush=True)
while True:
    a @ a
"""


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    bench = Bench(load_catalog(), this_device())
    work = {"image": _runs(bench, ("fp32",)), "five_plans": _runs(bench, PLANS)}
    taken: dict[tuple[str, str], list[float]] = {}
    for run in work.values():
        run()  # loads what is loaded once
    until = time.monotonic() + LONGEST_S
    for turn in range(ROUNDS):
        if turn and time.monotonic() > until:
            break
        for name, run in work.items():
            taken.setdefault((name, "quiet"), []).append(_seconds(run))
            with _neighbour():
                taken.setdefault((name, "beside"), []).append(_seconds(run))
    figures: dict[str, float] = {}
    print(f"{'what':12}{'quiet s':>10}{'beside s':>10}{'ratio':>8}   aim")
    for name in work:
        quiet, beside = (median(taken[name, where]) for where in ("quiet", "beside"))
        print(f"{name:12}{quiet:10.3f}{beside:10.3f}{beside / quiet:8.2f}   <= {MOST_RATIO}")
        figures |= {f"{name}_quiet_s": round(quiet, 3), f"{name}_ratio": round(beside / quiet, 3)}
    print(json.dumps(figures))


def _runs(bench: Bench, plans: tuple[str, ...]) -> Callable[[], None]:
    """A comparison without warm-up whose components are kept loaded."""
    comparison = make_comparison(plans=list(plans), prompt=PROMPT)

    def run() -> None:
        with tempfile.TemporaryDirectory(prefix="quantlab-") as out:
            compare(comparison, bench=bench, out=Path(out), warmup=0)

    return run


@contextmanager
def _neighbour() -> Iterator[None]:
    """A process that keeps two threads busy, spinning, as long as this lasts."""
    free = {k: v for k, v in os.environ.items() if k not in (*PASSIVE, "OMP_NUM_THREADS")}
    command = [sys.executable, "-c", NEIGHBOUR]
    with subprocess.Popen(command, env=free, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
