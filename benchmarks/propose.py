"""How long ``propose`` takes, for cards, models and host memories drawn at random.

    python -m benchmarks.propose

The first question about a card and a model counts its candidates; what is asked of them again, with
another host memory, is faster. Aim: an answer within 100 ms, the first ones too, once data is read:
the first call of a process, which reads the files, is shown apart.
"""

from __future__ import annotations

import json
import random
import statistics
import time

from quantlab.catalog.answer.choices import propose
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.machine import Machine
from quantlab.catalog.table import load_catalog

CALLS = 300


def main(calls: int = CALLS) -> dict[str, float]:
    """Run, print a table, and return the named figures in milliseconds."""
    rng, catalog = random.Random(0), load_catalog()
    packages = [name for method in catalog.methods.values() for name in method.packages]
    machine = Machine(compiler=True, packages=dict.fromkeys(packages, "99"))
    cards, models = list(load_gpus()), list(catalog.models)
    times = []
    for _ in range(calls + 1):
        card, model = rng.choice(cards), rng.choice(models)
        ram = rng.choice([None, *range(8, 129, 8)])
        started = time.perf_counter()
        propose(model=model, gpu=card, ram_gib=ram, machine=machine)
        times.append(((time.perf_counter() - started) * 1e3, f"{model} on {card}, {ram} GiB"))
    (first_ms, _), *times = times
    cuts = statistics.quantiles([ms for ms, _ in times], n=100)
    figures = {
        "first_ms": round(first_ms, 1),
        "p50_ms": round(cuts[49], 1),
        "p95_ms": round(cuts[94], 1),
        "max_ms": round(max(ms for ms, _ in times), 1),
    }
    print(f"propose, {calls} calls (aim: 100 ms); the slowest: {max(times)[1]}")
    for name, value in figures.items():
        print(f"  {name:10} {value:10.1f}")
    print(json.dumps(figures))
    return figures


if __name__ == "__main__":
    main()
