"""How good the seconds are that a CPU's pace predicts: flux-mini at 64 to 256 pixels.

    python -m benchmarks.cpu_pace

Steps are run at two sizes (lab/bench/pace.py), then whole images at four; the pace is told again
after each, so that a machine whose speed drifts shows. Aim: within 10 % of what is measured.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.pace import PROMPT, measure_pace
from quantlab.lab.device import Device, this_device
from quantlab.lab.load.pool import Pool
from quantlab.words.plan import Plan

SIZES = (64, 128, 192, 256)
STEPS = 8
REPEATS = 5


def main(sizes: tuple[int, ...] = SIZES, repeats: int = REPEATS) -> dict[str, float]:
    """Run, print a table, and return the errors: |predicted / measured - 1|."""
    catalog, device = load_catalog(), this_device()
    model = catalog.models["flux-mini"]
    pipe = Pool(0, catalog, device).load(model, Plan(dtype="fp32"), lambda _: None).pipe
    tokens = model.defaults.sequence_length
    call: dict[str, Any] = {"max_sequence_length": tokens}
    errors = []
    for size in sizes:
        started = device.clock()
        pace = measure_pace(pipe, device, text_tokens=tokens, **call)
        took = device.clock() - started
        told = pace.seconds(
            image_tokens=model.family.image_tokens(size, size),
            text_tokens=tokens,
            pixels=size * size,
            steps=STEPS,
        ).mid
        seen = _seconds(device, partial(_image, pipe, size, call), repeats)
        errors.append(abs(told / seen - 1))
        print(
            f"{size:4} px  predicted {told:.4f} s  measured {seen:.4f} s  ({took:.2f} s to learn)"
        )
    figures = {"median": round(statistics.median(errors), 3), "worst": round(max(errors), 3)}
    print(json.dumps(figures))
    return figures


def _image(pipe: Any, size: int, call: dict[str, Any]) -> None:
    pipe(prompt=PROMPT, width=size, height=size, num_inference_steps=STEPS, **call)


def _seconds(device: Device, work: Callable[[], None], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        started = device.clock()
        work()
        times.append(device.clock() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
