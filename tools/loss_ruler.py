"""How far a loaded plan of flux-mini is from the unquantized path, for tools/loss.py: at each step
of that path and in the picture."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.lab.bench.fidelity import compare_images, image_array, relative_l2
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.bench.tensors import first_of
from quantlab.lab.device import Device
from quantlab.lab.load.pool import LoadedPlan

__all__ = ["STEPS", "Ruler"]

STEPS = 8


@dataclass(frozen=True)
class Reference:
    """The unquantized path of one prompt: each call's inputs with its output, and the picture."""

    calls: tuple[tuple[Mapping[str, Any], Any], ...]
    pixels: Any


class Ruler:
    """Holds plans against the unquantized path of each prompt."""

    def __init__(self, prompts: list[str], device: Device) -> None:
        self.prompts, self.device = prompts, device
        self.references: dict[str, Reference] = {}

    def learn(self, plan: LoadedPlan) -> None:
        """Keep the path of ``plan``, the reference."""
        for seed, prompt in enumerate(self.prompts):
            calls: list[tuple[Mapping[str, Any], Any]] = []

            def keep(_: Any, __: Any, inputs: Any, output: Any, calls: Any = calls) -> None:
                calls.append((dict(inputs), first_of(output).clone()))

            hook = plan.denoiser.register_forward_hook(keep, with_kwargs=True)
            pixels = self._picture(plan, prompt, seed)
            hook.remove()
            self.references[prompt] = Reference(tuple(calls), pixels)

    def measure(self, plan: LoadedPlan) -> dict[str, float]:
        """The mean distance of ``plan`` with the ends of its 95 % interval over prompts, and the
        means of its picture's PSNR (dB) and SSIM."""
        losses, psnr, ssim = [], [], []
        for seed, prompt in enumerate(self.prompts):
            losses.append(self._distance(plan, prompt, seed))
            reference = self.references[prompt].pixels
            fidelity = compare_images(self._picture(plan, prompt, seed), reference)
            psnr.append(fidelity.get("psnr_db"))
            ssim.append(fidelity.get("ssim"))
        low, high = _interval(losses)
        known = {"psnr_db": psnr, "ssim": ssim}
        means = {k: fmean([v for v in vs if v is not None]) for k, vs in known.items() if any(vs)}
        return {"one_step": fmean(losses), "low": low, "high": high, **means}

    def _distance(self, plan: LoadedPlan, prompt: str, seed: int) -> float:
        import torch

        text = encode(plan.pipe, self._comparison(prompt, seed), self.device).inputs
        own = {
            "encoder_hidden_states": text["prompt_embeds"],
            "pooled_projections": text["pooled_prompt_embeds"],
        }
        found = []
        for inputs, output in self.references[prompt].calls:
            dtype = {k: v.to(inputs[k].dtype) for k, v in own.items()}
            with torch.no_grad():
                again = first_of(plan.pipe.transformer(**{**inputs, **dtype}))
            found.append(relative_l2(again, output))
        return fmean(found)

    def _picture(self, plan: LoadedPlan, prompt: str, seed: int) -> Any:
        comparison = self._comparison(prompt, seed)
        run = generate(
            plan.pipe,
            comparison,
            encode(plan.pipe, comparison, self.device),
            self.device,
            on_step=lambda _: None,
            stop=threading.Event(),
        )
        return image_array(run.image)

    def _comparison(self, prompt: str, seed: int) -> Any:
        return make_comparison(model="flux-mini", prompt=prompt, seed=seed, steps=STEPS)


def _interval(values: list[float]) -> tuple[float, float]:
    """The ends of the mean's 95 % interval, by the normal approximation."""
    mean = fmean(values)
    spread = (sum((v - mean) ** 2 for v in values) / max(len(values) - 1, 1)) ** 0.5
    half = 1.96 * spread / len(values) ** 0.5
    return mean - half, mean + half
