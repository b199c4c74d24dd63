"""One image of flux-mini in fp32, beside what the same machine's matrix products could do.

Seconds alone say little about another machine, so each round also times a large fp32 matrix
product; `of_matmul` is the image's share of that rate (floating-point operations of the image as
torch's flop counter counts them, divided by its time and by the rate of the product). Medians over
interleaved rounds; torch uses as many threads as it chooses.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from statistics import median

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.device import this_device
from quantlab.lab.libraries import resolve, torch

PROMPT = "a fox on a blue background"
ROUNDS = 15
SIDE = 1536


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    comparison = make_comparison(plans=["fp32"], prompt=PROMPT)
    catalog, device = load_catalog(), this_device()
    model = catalog.models[comparison.model]
    pipe = Bench(catalog, device).pool.load(model, comparison.plans[0], lambda _: None).pipe

    def image() -> None:
        encoded = encode(pipe, comparison, device)
        stop = threading.Event()
        generate(pipe, comparison, encoded, device, on_step=lambda _: None, stop=stop)

    with resolve("torch.utils.flop_counter.FlopCounterMode")(display=False) as counter:
        image()
    operations = counter.get_total_flops()
    a, b = (torch().randn(SIDE, SIDE) for _ in range(2))
    image_s, product_s = [], []
    for _ in range(ROUNDS):
        image_s.append(_seconds(image))
        product_s.append(_seconds(lambda: a @ b))
    rate = 2 * SIDE**3 / median(product_s)
    share = operations / median(image_s) / rate
    print(f"one image, {comparison.steps} steps: {median(image_s):.3f} s")
    print(f"{operations / 1e9:.1f} GFLOP; matrix products run at {rate / 1e9:.0f} GFLOP/s")
    figures = {
        "image_s": round(median(image_s), 3),
        "steps": comparison.steps,
        "matmul_gflop_per_s": round(rate / 1e9, 1),
        "of_matmul": round(share, 3),
    }
    print(json.dumps(figures))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
