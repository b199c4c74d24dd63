"""The noise floor: how far the reference is from itself when it is run again.

The same plan in the same mode with the same seed. A score below this says nothing about a scheme.
It costs no run of its own: a warm-up is a whole run with the same seed, and so is each repeat. Only
where the reference ran once and without a warm-up is one step of its denoiser done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quantlab.lab.bench.fidelity import compare_images, image_array, relative_l2
from quantlab.lab.bench.run import Run, forward
from quantlab.lab.load.pool import LoadedPlan
from quantlab.words.outcome import NoiseFloor

__all__ = ["noise_floor"]


def noise_floor(runs: Sequence[Run], loaded: LoadedPlan, dtype: Any) -> NoiseFloor:
    """The largest distance of the last of ``runs`` from any before it, warm-up included.

    With a single run: the relative L2 of one step done again on the denoiser, in ``dtype``.
    """
    last, earlier = runs[-1], runs[:-1]
    if not earlier:
        again = forward(loaded.denoiser, last.first, dtype, loaded.device.target)
        return NoiseFloor(None, relative_l2(again, last.first.output), "step")
    pixels = image_array(last.image)
    found = [compare_images(image_array(run.image), pixels).get("psnr_db") for run in earlier]
    return NoiseFloor(
        psnr_db=min((psnr for psnr in found if psnr is not None), default=None),
        rel_l2=max(relative_l2(run.first.output, last.first.output) for run in earlier),
        repeated="image",
    )
