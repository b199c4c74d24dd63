"""A denoiser from one file of one's own, as it is stored: ``from_single_file``. Plain weights that
a plan quantizes go the way of their scheme (lab/own/plain_file.py).

diffusers has a quantizer for GGUF and for Black Forest Labs' float8 and NVFP4. Float8 with one
scale for a whole weight, as ComfyUI writes it, is the latter with that scale in every row.
"""

from __future__ import annotations

from typing import Any

from quantlab.catalog.schema import Method
from quantlab.errors import VerificationError
from quantlab.lab.libraries import resolve
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.own.plain_file import check_whole
from quantlab.lab.script.script import Script

__all__ = ["WAY", "scales_in_rows"]

CONFIGS = {
    "gguf": "diffusers.GGUFQuantizationConfig",
    "bfl": "diffusers.BFLQuantizationConfig",
    "scaled-fp8": "diffusers.BFLQuantizationConfig",
}
HOLDS = {
    "gguf": ("GGUFLinear",),
    "bfl": ("BFLFP8RLinear", "BFLNVFP4Linear"),
    "scaled-fp8": ("BFLFP8RLinear",),
}
"""The classes of the layers that must be there afterwards."""


class _SingleFile(Way):
    by_config = False
    fuses = False
    quantizes = False

    def stands_in(self, part: Part) -> bool:
        """Wherever the component is such a file, but for plain weights that a plan changes."""
        changed = part.scheme is not None or part.own_dtype is not None
        return bool(part.component.file) and not (part.component.is_plain_file and changed)

    def load(self, part: Part) -> Loaded:
        component = part.component
        if component.is_plain_file:
            return Loaded(part.files().read(part), "from_single_file")
        given = component.file
        module = resolve(part.cls).from_single_file(
            scales_in_rows(given) if component.form == "scaled-fp8" else given,
            config=str(part.files().at(component.name)),
            dtype=resolve(part.dtype),
            quantization_config=_config(CONFIGS[component.form], part),
        )
        _check(module, part)
        return Loaded(module, "from_single_file")

    def write(self, part: Part, script: Script) -> None:
        component = part.component
        if component.is_plain_file:
            script.file(part)
            return
        source, config = repr(component.file), CONFIGS[component.form]
        if component.form == "scaled-fp8":
            script.embed(scales_in_rows)
            source = f"scales_in_rows({source})"
        script.file(part, source, f"{config}(compute_dtype={part.dtype})")

    def why_not_saved(self, part: Part, method: Method) -> str:  # noqa: ARG002
        return "the file that it is read from is the saved form"


def _config(path: str, part: Part) -> Any:
    return resolve(path)(compute_dtype=resolve(part.dtype))


def _check(module: Any, part: Part) -> None:
    """Raises: VerificationError: tensors are missing, or nothing in it is quantized."""
    check_whole(module, part.component.file)
    wanted = HOLDS[part.component.form]
    if not any(type(layer).__name__ in wanted for layer in module.modules()):
        raise VerificationError(
            f"{part.component.file} holds {part.component.stored_as}, but no layer was loaded so"
        )


def scales_in_rows(path: str) -> dict[str, Any]:
    """The tensors of a float8 file with one scale for each weight, with that scale in each row.

    What else lies beside a weight, such as scales of inputs, is left out.
    """
    from safetensors.torch import load_file

    found = load_file(path)
    ends = ("weight_scale", "scale_weight", "input_scale", "scale_input", "comfy_quant")
    kept = {n: t for n, t in found.items() if n.split(".")[-1] not in (*ends, "scaled_fp8")}
    for end in ends[:2]:
        for name in [name for name in found if name.endswith(f".{end}")]:
            module = name.removesuffix(f".{end}")
            rows = kept[f"{module}.weight"].shape[0]
            kept[f"{module}.weight_scale"] = found[name].float().reshape(-1).expand(rows).clone()
    return kept


WAY = _SingleFile()
