"""The lines of a script by section, as the ways write them; script/pipeline.py joins them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from quantlab.lab.load.part import Part
from quantlab.lab.load.trim import trim
from quantlab.lab.load.weights import flatten_inputs
from quantlab.lab.script.lora_lines import base_lines

__all__ = ["Script"]


class Script:
    """Lines by section; what is imported is collected on the way."""

    def __init__(self) -> None:
        self.modules = {"torch", "diffusers"}
        self.functions: list[str] = []
        self.before: list[str] = []
        self.mapping: dict[str, str] = {}
        """Component -> its quantization config, an expression."""
        self.config = ""
        """The whole pipeline's quantization config, an expression."""
        self.ready: list[str] = []
        """Components that ``before`` makes, each under its own name."""
        self.late: list[str] = []
        """Components that the pipeline gets once it is made, by ``after``."""
        self.quantizes_on: str | None = None
        """The device on which it quantizes, None for the CPU: scales differ in their last bits."""
        self.after: list[str] = []

    def configs(self) -> list[str]:
        """The items of a dictionary of configs, a line each."""
        return [f'    "{name}": {config},' for name, config in self.mapping.items()]

    def embed(self, function: Callable[..., Any]) -> None:
        """Take in the source of a function that stands alone: it imports what it needs."""
        source = inspect.getsource(function)
        if source not in self.functions:
            self.functions.append(source)

    def trim(self, part: Part) -> None:
        """Let go of what idles of the component of ``part``, once it is as its plan has it."""
        self.embed(trim)
        self.after.append(f"trim(pipe.{part.component.name}, {part.component.idle!r})")

    def flatten_inputs(self, part: Part) -> None:
        """Have the layers of the component of ``part`` multiply matrices alone."""
        self.embed(flatten_inputs)
        self.after.append(f"flatten_inputs(pipe.{part.component.name})")

    def base(self, part: Part) -> None:
        """The component of ``part`` before anything quantizes it, where it does not simply come
        with the pipeline."""
        if part.lora is not None:
            self.fuse(part)
        elif part.component.is_plain_file:
            self.file(part)

    def fuse(self, part: Part, config: str = "", where: str | None = None) -> None:
        """The component of ``part`` with its LoRA in the base weights, quantized by ``config``.

        ``where`` is the device on which it quantizes, None for the CPU.
        """
        assert part.lora is not None
        others = [c.name for c in part.model.components if c is not part.component]
        if part.component.is_plain_file:
            self.file(part)
        self.before += base_lines(part, others)
        self._read(part, ['    "fused",'], config, where)

    def file(self, part: Part, source: str = "", config: str = "") -> None:
        """The component of ``part`` from its single file; ``source`` is an expression for what is
        read in its place, ``config`` one for a quantization config."""
        name, model = part.component.name, part.model
        pinned = model.revision != "main" and not model.local
        self.before += [
            f"{name} = {part.cls}.from_single_file(",
            f"    {source or repr(part.component.file)},",
            "    config=MODEL,",
            f'    subfolder="{name}",',
            *([f'    config_revision="{model.revision}",'] if pinned else []),
            *([f"    quantization_config={config},"] if config else []),
            f"    dtype={part.dtype},",
            ")",
        ]
        self.made(name)

    def folder(self, part: Part) -> str:
        """The folder that the single file of ``part`` is laid out in, for what reads no module."""
        folder = f"{part.model.id}-{part.component.name}"
        self.file(part)
        self.before.append(f'{part.component.name}.save_pretrained("{folder}")')
        return folder

    def made(self, name: str) -> None:
        """Note that ``before`` makes component ``name``."""
        if name not in self.ready:
            self.ready.append(name)

    def component(self, part: Part, config: str, where: str | None) -> None:
        """The component of ``part`` by itself, quantized by ``config`` as in ``fuse``."""
        self.modules.add(part.component.library)
        if part.component.is_plain_file and not config:
            self.file(part)
            return
        if part.component.is_plain_file:
            self._read(part, [f'    "{self.folder(part)}",'], config, where)
            return
        lines = ["    MODEL,", f'    subfolder="{part.component.name}",']
        if part.model.own and not part.model.local:
            lines.append(f'    revision="{part.model.revision}",')
        self._read(part, lines, config, where)

    def _read(self, part: Part, source: list[str], config: str, where: str | None) -> None:
        name = part.component.name
        self.before += [
            f"{name} = {part.cls}.from_pretrained(",
            *source,
            *([f"    quantization_config={config},"] if config else []),
            *([f'    device_map="{where}",'] if where else []),
            f"    dtype={part.dtype},",
            ")",
        ]
        self.made(name)
