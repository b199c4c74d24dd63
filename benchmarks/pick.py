"""How long ``recommend`` takes over the whole catalogue, with arguments drawn at random.

The first call of a process, which reads the files, is shown apart; every later call counts,
including those that predict a model's sizes for the first time.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from typing import Any

from quantlab.catalog.answer.pick import recommend
from quantlab.catalog.schema import HARDWARE, LIBRARIES, NEEDS
from quantlab.catalog.table import load_catalog

CALLS = 500


def draw(rng: random.Random, models: list[str]) -> dict[str, Any]:
    """Arguments of one call."""
    model = rng.choice([None, *models])
    return {
        "hardware": rng.choice([None, *HARDWARE]),
        "bits": rng.choice([None, 1, 1.58, 2, 3, 4, 5, 6, 8, 16]),
        "needs": rng.sample(NEEDS, rng.randint(0, len(NEEDS))),
        "library": rng.choice([None, *LIBRARIES]),
        "model": model,
        "memory_gib": rng.choice([None, 4, 8, 12, 16, 24, 80]) if model else None,
    }


def timed(**arguments: Any) -> tuple[float, int]:
    """Milliseconds of one call, and the number of rows."""
    started = time.perf_counter()
    rows = recommend(**arguments)
    return (time.perf_counter() - started) * 1e3, len(rows)


def main(calls: int = CALLS) -> dict[str, float]:
    """Run, print a table, and return the named figures in milliseconds."""
    rng = random.Random(0)
    first_ms, rows = timed()
    models = list(load_catalog().models)
    times = [timed(**draw(rng, models))[0] for _ in range(calls)]
    cuts = statistics.quantiles(times, n=100)
    figures = {
        "first_ms": round(first_ms, 3),
        "p50_ms": round(cuts[49], 3),
        "p95_ms": round(cuts[94], 3),
        "max_ms": round(max(times), 3),
    }
    print(f"recommend over {rows} rows, {calls} calls (aim: p95 <= 20 ms)")
    for name, value in figures.items():
        print(f"  {name:10} {value:10.3f}")
    print(json.dumps(figures))
    return figures


if __name__ == "__main__":
    main()
