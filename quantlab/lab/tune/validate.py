"""Whether a mix holds on prompts that it was not tuned on, beside uniform plans of as many bits.

Two figures a plan: the relative L2 of identical steps, and the PSNR of whole pictures against the
unquantized ones. Prompts are what is drawn at random, so that intervals are over prompts; two plans
are compared prompt by prompt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from quantlab.lab.bench.fidelity import compare_images, image_array
from quantlab.lab.bench.interval import Span, span
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.device import Device
from quantlab.lab.load.pool import LoadedPlan
from quantlab.lab.tune.steps import Path, distances

__all__ = ["Held", "gain_db", "hold"]


@dataclass(frozen=True)
class Held:
    """One plan on the held-out prompts: a loss and a PSNR (dB) for each.

    PSNR is None where the two pictures are identical.
    """

    losses: tuple[float, ...]
    psnr_db: tuple[float | None, ...]

    @property
    def loss(self) -> float:
        """Mean relative L2 of a step."""
        return fmean(self.losses)


def hold(
    plan: LoadedPlan,
    paths: Sequence[Path],
    dtype: Any,
    device: Device,
    stop: threading.Event,
    said: Callable[[], None],
) -> Held:
    """Steps and pictures of ``plan`` on the unquantized ``paths``; ``said`` is called after each.

    Raises:
        Stopped: ``stop`` was set.
    """
    losses, psnr = [], []
    for path in paths:
        losses += distances(plan.denoiser, [path], dtype, device)
        encoded = encode(plan.pipe, path.comparison, device)
        run = generate(
            plan.pipe, path.comparison, encoded, device, on_step=lambda _: None, stop=stop
        )
        psnr.append(compare_images(image_array(run.image), path.pixels).get("psnr_db"))
        said()
    return Held(tuple(losses), tuple(psnr))


def gain_db(one: Held, other: Held) -> Span:
    """By how many dB of PSNR the pictures of ``one`` are nearer than those of ``other``."""
    pairs = zip(one.psnr_db, other.psnr_db, strict=True)
    return span([a - b for a, b in pairs if a is not None and b is not None] or [0.0])
