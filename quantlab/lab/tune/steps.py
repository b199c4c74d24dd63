"""Identical steps: what the unquantized denoiser was called with, and what it gave.

Taken along the path of whole images, so that late steps see what late steps see.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from quantlab.lab.bench.fidelity import image_array, relative_l2
from quantlab.lab.bench.run import FirstStep, encode, forward, generate
from quantlab.lab.bench.tensors import first_of, named, on
from quantlab.lab.device import Device
from quantlab.lab.libraries import torch
from quantlab.lab.load.pool import LoadedPlan
from quantlab.words.comparison import Comparison

__all__ = ["Inputs", "Path", "distances", "drifts", "inputs_of", "take_path"]

LEAST_SPREAD, TINY = 1e-4, 1e-12
"""A column that never changed in tuning may still do so elsewhere: it counts a little."""


@dataclass(frozen=True)
class Path:
    """One prompt's way through the unquantized pipeline.

    ``steps`` are those that were asked for, on the host; ``shares`` is how much of the way each
    stands for, together 1; ``pixels`` is the picture, uint8 of shape (height, width, 3).
    """

    comparison: Comparison
    steps: tuple[FirstStep, ...]
    shares: tuple[float, ...]
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
    return Path(comparison, steps, _shares(calls, chosen), image_array(run.image))


def _shares(calls: Sequence[FirstStep], chosen: Sequence[int]) -> tuple[float, ...]:
    """How far the scheduler goes with each call, by its timesteps; a call that is not ``chosen``
    counts for the nearest that is. Where there are no timesteps, all go as far."""
    given = [call.inputs.get("timestep") for call in calls]
    times = [float(time.flatten()[0]) for time in given if isinstance(time, torch().Tensor)]
    if len(times) == len(calls):
        far = [abs(a - b) for a, b in pairwise([*times, 0.0])]
    else:
        far = [1.0] * len(calls)
    sums = dict.fromkeys(chosen, 0.0)
    for index, length in enumerate(far):
        sums[min(chosen, key=lambda one: abs(one - index))] += length
    whole = sum(far) or 1.0
    return tuple(sums[index] / whole for index in chosen)


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


def drifts(denoiser: Any, paths: Sequence[Path], dtype: Any, device: Device) -> list[float]:
    """How far ``denoiser`` leads each path astray: relative L2 of its steps' outputs added up as
    the scheduler adds them.

    Errors that pull every step the same way count for more than those that cancel out, as they do
    in the picture.
    """
    found = []
    for path in paths:
        pairs = zip(path.steps, path.shares, strict=True)
        moves = [
            (share * forward(denoiser, step, dtype, device.target).to("cpu"), share * step.output)
            for step, share in pairs
        ]
        found.append(relative_l2(sum(own for own, _ in moves), sum(right for _, right in moves)))
    return found


@dataclass(frozen=True)
class Inputs:
    """What goes into a Linear layer over the steps: of each column its mean and its mean square,
    both of shape (columns,)."""

    mean: Any
    square: Any

    @property
    def spread(self) -> Any:
        """The variance of each column: what a bias cannot make good."""
        least = self.square * LEAST_SPREAD + TINY
        return torch().maximum(self.square - self.mean.pow(2), least)


def inputs_of(
    denoiser: Any, paths: Sequence[Path], dtype: Any, device: Device
) -> dict[str, Inputs]:
    """What goes into every Linear layer of ``denoiser`` over the steps, by the layer's name."""
    sums: dict[str, Any] = {}
    squares: dict[str, Any] = {}
    counts: dict[str, int] = {}

    def look(name: str) -> Any:
        def hook(_: Any, args: Any, __: Any) -> None:
            rows = args[0].detach().reshape(-1, args[0].shape[-1]).float()
            sums[name] = sums.get(name, 0) + rows.sum(0).to("cpu")
            squares[name] = squares.get(name, 0) + rows.pow(2).sum(0).to("cpu")
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
    return {name: Inputs(sums[name] / n, squares[name] / n) for name, n in counts.items()}


@contextmanager
def _watched(module: Any, hook: Any) -> Iterator[None]:
    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
