"""A denoiser from one file of one's own, as it is stored: ``from_single_file``.

diffusers has a quantizer for GGUF and for Black Forest Labs' float8 and NVFP4. Float8 with one
scale for a whole weight, as ComfyUI writes it, is the latter with that scale in every row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantlab.catalog.schema import Method
from quantlab.errors import VerificationError
from quantlab.lab.libraries import resolve
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
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
        """Wherever the component is such a file: it goes with no scheme."""
        return bool(part.component.file)

    def fetch(self, part: Part, say: Callable[[str], None]) -> bool:  # noqa: ARG002
        """No: the file is here."""
        return False

    def load(self, part: Part) -> Loaded:
        component, config = part.component, CONFIGS.get(part.component.form)
        given = component.file
        more = {} if config is None else {"quantization_config": _config(config, part)}
        module = resolve(part.cls).from_single_file(
            scales_in_rows(given) if component.form == "scaled-fp8" else given,
            config=str(part.files().at(component.name)),
            dtype=resolve(part.dtype),
            **more,
        )
        _check(module, part)
        return Loaded(module, "from_single_file")

    def write(self, part: Part, script: Script) -> None:
        component, config = part.component, CONFIGS.get(part.component.form)
        source = repr(component.file)
        if component.form == "scaled-fp8":
            script.embed(scales_in_rows)
            source = f"scales_in_rows({source})"
        lines = [f"    {source},", "    config=MODEL,", f'    subfolder="{component.name}",']
        if part.model.revision != "main" and not part.model.local:
            lines.append(f'    config_revision="{part.model.revision}",')
        if config is not None:
            lines.append(f"    quantization_config={config}(compute_dtype={part.dtype}),")
        name = component.name
        script.before += [
            f"{name} = {part.cls}.from_single_file(",
            *lines,
            f"    dtype={part.dtype},",
            ")",
        ]
        script.ready.append(name)

    def why_not_saved(self, part: Part, method: Method) -> str:  # noqa: ARG002
        return "the file that it is read from is the saved form"


def _config(path: str, part: Part) -> Any:
    return resolve(path)(compute_dtype=resolve(part.dtype))


def _check(module: Any, part: Part) -> None:
    """Raises: VerificationError: tensors are missing, or nothing in it is quantized."""
    missing = [name for name, tensor in module.named_parameters() if tensor.is_meta]
    if missing:
        raise VerificationError(f"{part.component.file} gave no {missing[0]}")
    wanted = HOLDS.get(part.component.form)
    if wanted and not any(type(layer).__name__ in wanted for layer in module.modules()):
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
