"""quanto by its own library, on the loaded component: what neither config class offers."""

from __future__ import annotations

from typing import Any

from quantlab.catalog.schema import Method
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script

__all__ = ["WAY", "quantize_with_quanto"]


class _Quanto(Way):
    by_config = False

    def load(self, part: Part) -> Loaded:
        module = part.files().read(part)
        quantize_with_quanto(module, **_args(part))
        return Loaded(module, "the library, on the loaded component")

    def write(self, part: Part, script: Script) -> None:
        if part.lora is not None:
            script.fuse(part)
        script.embed(quantize_with_quanto)
        text = ", ".join(f"{key}={value!r}" for key, value in _args(part).items())
        script.after.append(f"quantize_with_quanto(pipe.{part.component.name}, {text})")

    def why_not_saved(self, part: Part, method: Method) -> str:  # noqa: ARG002
        return "diffusers' QuantoConfig knows no such weights, so that it would not be loaded again"


def _args(part: Part) -> dict[str, Any]:
    """What stays is told by patterns of whole names, where a config is told by its own argument."""
    skip = part.known.left_alone(part.component.cls, part.kept)
    return {"weights": part.spec.args["weights"], "skip": skip}


def quantize_with_quanto(model: Any, *, weights: str, skip: tuple[str, ...] = ()) -> None:
    """Put quanto's layers in the place of ``model``'s Linear layers and freeze their weights.

    ``weights`` is a name of ``optimum.quanto.qtypes``; what a pattern of ``skip`` names stays.
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
    quanto.quantize(model, weights=weights, include=names)
    quanto.freeze(model)
    model.requires_grad_(False)


WAY = _Quanto()
