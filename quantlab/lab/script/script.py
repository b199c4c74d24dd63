"""The lines of a script by section, as the ways write them; script/pipeline.py joins them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from quantlab.lab.load.part import Part
from quantlab.lab.script.lora_lines import base_lines

__all__ = ["Script"]


class Script:
    """Lines by section; what is imported is collected on the way."""

    def __init__(self) -> None:
        self.modules = {"torch", "diffusers"}
        self.functions: list[str] = []
        self.before: list[str] = []
        self.mapping: list[str] = []
        """Lines of ``quant_mapping``, a config for each component."""
        self.config = ""
        self.arguments: list[str] = []
        """Lines among the arguments of the pipeline's ``from_pretrained``."""
        self.quantizes_on: str | None = None
        """The device on which it quantizes, None for the CPU: scales differ in their last bits."""
        self.after: list[str] = []

    def embed(self, function: Callable[..., Any]) -> None:
        """Take in the source of a function that stands alone: it imports what it needs."""
        source = inspect.getsource(function)
        if source not in self.functions:
            self.functions.append(source)

    def fuse(self, part: Part, config: str = "", where: str | None = None) -> None:
        """The component of ``part`` with its LoRA in the base weights, quantized by ``config``.

        ``where`` is the device on which it quantizes, None for the CPU.
        """
        name = part.component.name
        assert part.lora is not None
        others = [c.name for c in part.model.components if c is not part.component]
        self.before += [
            *base_lines(part.lora, part.model, others, part.dtype),
            f"{name} = {part.cls}.from_pretrained(",
            '    "fused",',
            *([f"    quantization_config={config},"] if config else []),
            *([f'    device_map="{where}",'] if where else []),
            f"    dtype={part.dtype},",
            ")",
        ]
        self.arguments.append(f"    {name}={name},")
