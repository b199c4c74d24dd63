"""quanto by its own library, on the loaded component: what neither config class offers.

Activations have one fixed scale each, which is learnt from what the model's pipeline draws of a few
prompts: ``PROMPTS``, ``STEPS`` steps each at the model's own size, seeds 0, 1, 2 and on. The
pipeline is the model's as it is, whatever the plan does to its other components, so that a scheme
is the same in every plan; what it reads of text encoders is let go of afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantlab.catalog.schema import Method
from quantlab.lab.hub.snapshot import snapshot
from quantlab.lab.libraries import resolve
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script

__all__ = ["WAY", "calibrate_with_quanto", "quantize_with_quanto"]

PROMPTS = (
    "a cat face on a red background",
    "an octopus on a white background",
    "a banana on a blue background",
    "a green tree on a yellow background",
)
"""What is drawn to learn the scales of activations; none of them is among those that are measured
(data/results/prompts.txt, data/gallery)."""
STEPS = 4


class _Quanto(Way):
    by_config = False

    def whole_blocks(self, part: Part) -> bool:
        return not _calibrated(part)  # the compiler can't follow how quanto quantizes activations

    def fetch(self, part: Part, say: Callable[[str], None]) -> bool:
        if _calibrated(part) and not part.model.local:
            snapshot(part.model, [component.name for component in part.model.components], say)
        return True

    def load(self, part: Part) -> Loaded:
        module = part.files().read(part)
        quantize_with_quanto(module, **_args(part))
        how = "the library, on the loaded component"
        if not _calibrated(part):
            return Loaded(module, how)
        pipe = resolve("diffusers.DiffusionPipeline").from_pretrained(
            part.files().folder, dtype=resolve(part.dtype), **{part.component.name: module}
        )
        calibrate_with_quanto(pipe, **_calibration(part))
        return Loaded(module, f"{how}, calibrated on {len(PROMPTS)} prompts of {STEPS} steps")

    def write(self, part: Part, script: Script) -> None:
        script.base(part)
        script.embed(quantize_with_quanto)
        text = ", ".join(f"{key}={value!r}" for key, value in _args(part).items())
        name = part.component.name
        script.after.append(f"quantize_with_quanto(pipe.{name}, {text})")
        if not _calibrated(part):
            return
        script.embed(calibrate_with_quanto)
        own = part.model.own and not part.model.local
        script.after += [
            "whole = diffusers.DiffusionPipeline.from_pretrained(",
            f"    MODEL, {name}=pipe.{name}, dtype={part.dtype},",
            *([f'    revision="{part.model.revision}",'] if own else []),
            ")",
            "calibrate_with_quanto(",
            "    whole,",
            *(f"    {key}={value!r}," for key, value in _calibration(part).items()),
            ")",
            "del whole",
        ]

    def why_not_saved(self, part: Part, method: Method) -> str:  # noqa: ARG002
        return "diffusers' QuantoConfig does not know it, so that it would not be loaded again"


def _args(part: Part) -> dict[str, Any]:
    """What stays is told by patterns of whole names, where a config is told by its own argument."""
    return {**part.spec.args, "skip": part.known.left_alone(part.component.cls, part.kept)}


def _calibrated(part: Part) -> bool:
    """Whether activations are quantized, whose scales must be learnt."""
    return "activations" in part.spec.args


def _calibration(part: Part) -> dict[str, Any]:
    known = part.model.defaults
    size = {"height": known.height, "width": known.width}
    return {"prompts": PROMPTS, "steps": STEPS, **size, "device": part.device}


def quantize_with_quanto(
    model: Any, *, weights: str, activations: str | None = None, skip: tuple[str, ...] = ()
) -> None:
    """Put quanto's layers in the place of ``model``'s Linear layers and freeze their weights.

    ``weights`` and ``activations`` are names of ``optimum.quanto.qtypes``; what a pattern of
    ``skip`` names stays. Activations must be calibrated before they are of use.
    """
    import fnmatch

    import diffusers
    import torch
    from optimum import quanto

    known = isinstance(model, diffusers.ModelMixin) and model._keep_in_fp32_modules
    in_fp32 = set(known or ())  # which diffusers has no library quantize
    names = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear)
        and not any(fnmatch.fnmatchcase(name, pattern) for pattern in skip)
        and not in_fp32 & set(name.split("."))
    ]
    quanto.quantize(model, weights=weights, activations=activations, include=names)
    quanto.freeze(model)
    model.requires_grad_(False)


def calibrate_with_quanto(
    pipe: Any, *, prompts: tuple[str, ...], steps: int, height: int, width: int, device: str
) -> None:
    """Have quanto's layers in ``pipe`` learn the scales of their activations from what it draws.

    On a GPU its components take turns there, and all are on the host again afterwards.
    """
    import torch
    from optimum import quanto

    pipe.set_progress_bar_config(disable=True)
    if device != "cpu":
        pipe.enable_model_cpu_offload(device=device)
    with quanto.Calibration():
        for seed, prompt in enumerate(prompts):
            pipe(
                prompt=prompt,
                height=height,
                width=width,
                num_inference_steps=steps,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="latent",
            )
    if device != "cpu":
        pipe.remove_all_hooks()
        pipe.to("cpu")


WAY = _Quanto()
