"""HQQ by its own library, on the loaded component: neither diffusers nor transformers does it.

Its layers are not moved by those libraries: they are made where they stay.
"""

from __future__ import annotations

from typing import Any

from quantlab.catalog.schema import Spec
from quantlab.lab.libraries import resolve
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script
from quantlab.lab.specs import build, render

__all__ = ["WAY", "quantize_with_hqq"]


class _Hqq(Way):
    by_config = False

    def why_not(self, part: Part) -> str | None:
        if part.placement in ("cpu", "resident"):
            return None
        return "HQQ's layers cannot be moved between host and device while they run"

    def load(self, part: Part) -> Loaded:
        module = part.files().read(part)
        config = build(_spec(part), part.dtype)
        dtype, skip = resolve(part.dtype), _skip(part)
        quantize_with_hqq(module, config, compute_dtype=dtype, device=part.device, skip=skip)
        return Loaded(module, "the library, on the loaded component")

    def write(self, part: Part, script: Script) -> None:
        script.base(part)
        expression, modules = render(_spec(part), part.dtype)
        script.modules |= modules
        script.embed(quantize_with_hqq)
        more = f'compute_dtype={part.dtype}, device="{part.device}", skip={_skip(part)!r}'
        script.after += [
            "quantize_with_hqq(",
            f"    pipe.{part.component.name},",
            f"    {expression},",
            f"    {more},",
            ")",
        ]


def _spec(part: Part) -> Spec:
    """The library's own description, for encoders too."""
    assert part.known.diffusers is not None
    return part.known.diffusers


def _skip(part: Part) -> tuple[str, ...]:
    return part.known.left_alone(part.component.cls, part.kept)


def quantize_with_hqq(
    model: Any, config: Any, *, compute_dtype: Any, device: str, skip: tuple[str, ...] = ()
) -> None:
    """Put HQQ's layers in the place of ``model``'s Linear layers, on ``device``.

    ``config`` is what ``BaseQuantizeConfig`` gives; rows that its groups do not divide stay as
    they are, and so does what a pattern of ``skip`` names.
    """
    import fnmatch

    import diffusers
    import torch
    from hqq.core.quantize import HQQLinear

    group = config["weight_quant_params"]["group_size"]
    known = isinstance(model, diffusers.ModelMixin) and model._keep_in_fp32_modules
    in_fp32 = set(known or ())  # which diffusers has no library quantize
    for name, linear in list(model.named_modules()):
        skipped = any(fnmatch.fnmatchcase(name, pattern) for pattern in skip)
        skipped = skipped or bool(in_fp32 & set(name.split(".")))
        if not isinstance(linear, torch.nn.Linear) or skipped or linear.in_features % group:
            continue
        layer = HQQLinear(linear, config, compute_dtype=compute_dtype, device=device)
        if layer.bias is not None:  # a plain tensor, which no module counts among its own
            layer.bias = torch.nn.Parameter(layer.bias, requires_grad=False)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer)


WAY = _Hqq()
