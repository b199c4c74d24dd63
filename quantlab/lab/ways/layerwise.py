"""Layerwise casting of diffusers: weights are kept narrow and cast up one layer at a time."""

from __future__ import annotations

from typing import Any

from quantlab.catalog.schema import Method
from quantlab.lab.libraries import resolve
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script

__all__ = ["WAY"]


class _Layerwise(Way):
    by_config = False

    def whole_blocks(self, part: Part) -> bool:  # noqa: ARG002
        return False  # its hooks are inside the blocks

    def load(self, part: Part) -> Loaded:
        module: Any = part.files().read(part)
        storage, compute = resolve(_storage(part)), resolve(part.dtype)
        module.enable_layerwise_casting(storage_dtype=storage, compute_dtype=compute)
        return Loaded(module, "enable_layerwise_casting")

    def write(self, part: Part, script: Script) -> None:
        script.base(part)
        name, storage = part.component.name, _storage(part)
        kept = f"storage_dtype={storage}, compute_dtype={part.dtype}"
        script.after.append(f"pipe.{name}.enable_layerwise_casting({kept})")

    def why_not_saved(self, part: Part, method: Method) -> str:  # noqa: ARG002
        return "layerwise casting is not stored: the saved file is of full width"


def _storage(part: Part) -> str:
    return str(part.spec.args["storage_dtype"])


WAY = _Layerwise()
