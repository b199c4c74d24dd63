"""Seconds of work on a device, and its compiled form.

Times are the device's own events where it has them, the host's clock elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from quantlab.lab.device import this_device
from quantlab.lab.libraries import load, torch
from quantlab.lab.load.pool import RECOMPILES

__all__ = ["compile_blocks", "each", "middle", "wall"]


def each(call: Callable[[], object], repeats: int, most_s: float = 3.0) -> list[float]:
    """Seconds of single calls, begun while ``most_s`` are not over; one at least."""
    found: list[float] = []
    for _ in range(repeats):
        found.append(wall(call))
        if sum(found) > most_s:
            break
    return found


def middle(call: Callable[[], object], repeats: int, most_s: float = 3.0) -> float:
    """The median of ``each`` after one call that does not count."""
    call()
    return median(each(call, repeats, most_s))


def wall(call: Callable[[], object]) -> float:
    """Seconds of one call, until the device is done."""
    device = this_device()
    if device.target != "cuda":
        started = device.clock()
        call()
        return device.clock() - started
    before: Any = torch().cuda.Event(enable_timing=True)
    after: Any = torch().cuda.Event(enable_timing=True)
    torch().cuda.synchronize()
    before.record()
    call()
    after.record()
    torch().cuda.synchronize()
    return float(before.elapsed_time(after)) / 1000


def compile_blocks(module: Any, scheme: str) -> None:
    """Compile the repeated blocks of ``module`` where they are, as plans with @compiled are.

    Reading the weights once more for it would take longer than all that is timed.
    """
    settings = load("torch._dynamo").config
    settings.capture_dynamic_output_shape_ops = scheme.startswith("bnb")
    settings.recompile_limit = max(settings.recompile_limit, RECOMPILES)
    module.compile_repeated_blocks(fullgraph=not scheme.startswith("layerwise"))
