"""What measuring costs: our latency of one plan over the same pipeline called bare.

Bare and measured runs take turns in one process, on the same loaded pipeline and prompt; the
figure is the ratio of the medians.
"""

from __future__ import annotations

import json
import threading
import time
from statistics import median

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.device import this_device
from quantlab.lab.libraries import torch

PLANS = ("fp32", "torchao-int8wo", "bnb-nf4")
PROMPT = "a red apple on a blue background"
ROUNDS = 40


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    figures = {}
    print(f"{'plan':20}{'bare ms':>10}{'ours ms':>10}{'ratio':>10}")
    for plan in PLANS:
        bare, ours = _measure(plan)
        figures[plan] = round(ours / bare, 4)
        print(f"{plan:20}{bare * 1e3:10.1f}{ours * 1e3:10.1f}{ours / bare:10.3f}")
    print(json.dumps({"overhead": max(figures.values()), **figures}))


def _measure(plan: str) -> tuple[float, float]:
    """Median seconds bare and measured."""
    comparison = make_comparison(plans=[plan], prompt=PROMPT)
    catalog, device = load_catalog(), this_device()
    model = catalog.models[comparison.model]
    pipe = Bench(catalog, device).pool.load(model, comparison.plans[0], lambda _: None).pipe
    stop = threading.Event()

    def bare() -> float:
        started = time.perf_counter()
        pipe(
            prompt=comparison.prompt,
            num_inference_steps=comparison.steps,
            guidance_scale=comparison.guidance,
            width=comparison.width,
            height=comparison.height,
            max_sequence_length=comparison.sequence_length,
            generator=torch().Generator("cpu").manual_seed(comparison.seed),
        )
        return time.perf_counter() - started

    def ours() -> float:
        encoded = encode(pipe, comparison, device)
        run = generate(pipe, comparison, encoded, device, on_step=lambda _: None, stop=stop)
        return encoded.seconds + run.total_s

    bare(), ours()
    rounds = [(bare(), ours()) for _ in range(ROUNDS)]
    return median(b for b, _ in rounds), median(o for _, o in rounds)


if __name__ == "__main__":
    main()
