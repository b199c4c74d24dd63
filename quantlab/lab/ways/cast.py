"""A component in a dtype of its own inside a pipeline of another."""

from __future__ import annotations

from typing import Any

from quantlab.lab.libraries import resolve
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script

__all__ = ["WAY", "cast_component"]


class _Cast(Way):
    quantizes = False

    def load(self, part: Part) -> Loaded:
        module = part.files().read(part)
        cast_component(module, resolve(str(part.own_dtype)), resolve(part.dtype))
        return Loaded(module, "cast")

    def write(self, part: Part, script: Script) -> None:
        script.base(part)
        script.embed(cast_component)
        name = part.component.name
        script.after.append(f"cast_component(pipe.{name}, {part.own_dtype}, {part.dtype})")


def cast_component(model: Any, dtype: Any, pipeline_dtype: Any) -> None:
    """Run one component in a dtype of its own inside a pipeline of another.

    Tensors are cast on the way in and back on the way out.
    """
    import torch

    def to(value: Any, target: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return value.to(target)
        if isinstance(value, tuple | list):
            return type(value)(to(item, target) for item in value)
        if isinstance(value, dict):
            for key in value:
                value[key] = to(value[key], target)
        return value

    if model.dtype != dtype:
        model.to(dtype)
    model.register_forward_pre_hook(
        lambda _, args, kwargs: (to(args, dtype), to(dict(kwargs), dtype)), with_kwargs=True
    )
    model.register_forward_hook(lambda _, __, output: to(output, pipeline_dtype))


WAY = _Cast()
