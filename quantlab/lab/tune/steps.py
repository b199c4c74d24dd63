"""The way of the unquantized pipeline to a picture, and how far another comes away from it.

Identical steps are what the denoiser was called with on that way, and what it gave, so that late
steps see what late steps see. Whole ways start from the same noise and are compared at their end:
there errors count that point the same way at every step, and those of steps that matter little do
not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from quantlab.lab.bench.fidelity import image_array, relative_l2
from quantlab.lab.bench.run import Encoded, FirstStep, encode, forward, generate
from quantlab.lab.bench.tensors import first_of, named, on
from quantlab.lab.device import Device
from quantlab.lab.libraries import torch
from quantlab.lab.load.pool import LoadedPlan
from quantlab.words.comparison import Comparison

__all__ = ["Path", "apart", "distances", "second_moments", "take_path"]


@dataclass(frozen=True)
class Path:
    """One prompt's way through the unquantized pipeline.

    ``steps`` are those that were asked for, ``latents`` what the last one left, on the host;
    ``pixels`` is the picture, uint8 of shape (height, width, 3).
    """

    comparison: Comparison
    encoded: Encoded
    steps: tuple[FirstStep, ...]
    latents: Any
    pixels: Any


def take_path(
    plan: LoadedPlan,
    comparison: Comparison,
    at: Sequence[float],
    device: Device,
    stop: threading.Event,
) -> Path:
    """Draw ``comparison`` with ``plan`` and keep its calls ``at`` shares of the way, 0 to 1.

    Raises:
        Stopped: ``stop`` was set.
    """
    calls: list[FirstStep] = []

    def keep(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        inputs = on(named(module, args, kwargs), "cpu")
        calls.append(FirstStep(inputs, first_of(output).detach().to("cpu")))

    with _watched(plan.denoiser, keep):
        encoded = encode(plan.pipe, comparison, device)
        run = generate(plan.pipe, comparison, encoded, device, on_step=lambda _: None, stop=stop)
    as_given = run.first.as_given
    chosen = sorted({round(share * (len(calls) - 1)) for share in at})
    steps = tuple(FirstStep(calls[index].inputs, calls[index].output, as_given) for index in chosen)
    return Path(comparison, encoded, steps, run.latents, image_array(run.image))


def apart(pipe: Any, paths: Sequence[Path], device: Device, stop: threading.Event) -> list[float]:
    """Relative L2 of what ``pipe`` has after its last step, a figure for each path.

    Raises:
        Stopped: ``stop`` was set.
    """
    found = []
    for path in paths:
        run = generate(
            pipe, path.comparison, path.encoded, device, on_step=lambda _: None, stop=stop
        )
        found.append(relative_l2(run.latents, path.latents))
    return found


def distances(denoiser: Any, paths: Sequence[Path], dtype: Any, device: Device) -> list[float]:
    """Relative L2 of ``denoiser`` on the steps of each path, the mean of a path's."""
    found = []
    for path in paths:
        each = [
            relative_l2(forward(denoiser, step, dtype, device.target), step.output)
            for step in path.steps
        ]
        found.append(sum(each) / len(each))
    return found


def second_moments(
    denoiser: Any, paths: Sequence[Path], dtype: Any, device: Device
) -> dict[str, Any]:
    """The mean square of each input of every Linear layer over the steps: name -> (columns,)."""
    sums: dict[str, Any] = {}
    counts: dict[str, int] = {}

    def look(name: str) -> Any:
        def hook(_: Any, args: Any, __: Any) -> None:
            rows = args[0].detach().reshape(-1, args[0].shape[-1]).float()
            sums[name] = sums.get(name, 0) + rows.pow(2).sum(0).to("cpu")
            counts[name] = counts.get(name, 0) + len(rows)

        return hook

    linear = torch().nn.Linear
    found = [(n, layer) for n, layer in denoiser.named_modules() if isinstance(layer, linear)]
    handles = [layer.register_forward_hook(look(name)) for name, layer in found]
    try:
        distances(denoiser, paths, dtype, device)
    finally:
        for handle in handles:
            handle.remove()
    return {name: total / counts[name] for name, total in sums.items()}


@contextmanager
def _watched(module: Any, hook: Any) -> Iterator[None]:
    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
