"""Black Forest Labs' float8 and NVFP4: their single files, read by diffusers' own quantizer.

Of a local model such a file is written here, with the functions that diffusers has beside its
reader. What is not known: activation scales. Their own NVFP4 files carry measured ones; what is
written here holds 1, which loses nothing that NVFP4's block scales can express, and is used only by
the fast kernels of compute capability 10.
"""

from __future__ import annotations

import hashlib

from quantlab.catalog.paths import cache_folder, whole_file
from quantlab.catalog.schema import Method
from quantlab.lab.libraries import resolve
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script
from quantlab.lab.specs import build, render

__all__ = ["WAY", "write_bfl"]


class _Bfl(Way):
    fuses = False
    quantizes = False

    def load(self, part: Part) -> Loaded:
        module = resolve(part.cls).from_single_file(
            _made(part),
            config=str(part.files().at(part.component.name)),
            quantization_config=build(part.spec, part.dtype),
            dtype=resolve(part.dtype),
        )
        return Loaded(module, "from_single_file")

    def write(self, part: Part, script: Script) -> None:
        name, kind = part.component.name, _kind(part)
        expression, modules = render(part.spec, part.dtype)
        script.modules |= modules
        script.embed(write_bfl)
        path = f"{part.model.id}-{name}-{kind}.safetensors"
        is_file = part.component.is_plain_file
        folder = f'"{script.folder(part)}"' if is_file else f'f"{{MODEL}}/{name}"'
        script.before += [
            f'write_bfl({folder}, "{path}", "{kind}", {_keep(part)!r})',
            f"{name} = {part.cls}.from_single_file(",
            f'    "{path}",',
            "    config=MODEL,",
            f'    subfolder="{name}",',
            f"    quantization_config={expression},",
            f"    dtype={part.dtype},",
            ")",
        ]
        script.made(name)

    def why_not_saved(self, part: Part, method: Method) -> str:  # noqa: ARG002
        return "the file that was written is the saved form; diffusers writes none"


def _kind(part: Part) -> str:
    """ "FP8" or "NVFP4"."""
    return part.known.id.removeprefix("bfl-").upper()


def _keep(part: Part) -> tuple[str, ...]:
    """The modules that stay as they are."""
    return part.known.left_alone(part.component.cls, part.kept)


def _made(part: Part) -> str:
    """A file of a local component, made on first use; its name tells of its weights and of what is
    not quantized."""
    kind, name = _kind(part), part.component.name
    marks = [part.model.id, name, kind, part.weights_mark()]
    if keep := _keep(part):
        marks.append(hashlib.sha256(repr(keep).encode()).hexdigest()[:12])
    path = cache_folder() / f"{'-'.join(marks)}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.files().weights(part) as folder, whole_file(path) as to:
            write_bfl(folder, str(to), kind, keep)
    return str(path)


def write_bfl(folder: str, path: str, kind: str, keep: tuple[str, ...] = ()) -> None:
    """Write a diffusers model's safetensors in ``folder`` as Black Forest Labs' ``kind`` of file.

    Weights (2-D tensors of that name) are quantized, "FP8" with a scale a row, "NVFP4" with one for
    16 numbers; what 16 does not divide, the modules of ``keep`` and everything else stay as they
    are.
    """
    import pathlib

    import torch
    from diffusers.quantizers.bfl.utils import quantize_fp8r, quantize_nvfp4
    from safetensors.torch import load_file, save_file

    stored = {}
    for shard in sorted(pathlib.Path(folder).glob("*.safetensors")):
        for name, tensor in load_file(shard).items():
            module = name.removesuffix(".weight")
            multiplied = tensor.ndim == 2 and module != name  # tables and tokens are not
            if not multiplied or tensor.shape[1] % 16 or module in keep:
                stored[name] = tensor
            elif kind == "FP8":
                stored[name], stored[f"{module}.weight_scale"] = quantize_fp8r(tensor)
            else:
                weight, scale, scale_2 = quantize_nvfp4(tensor)
                stored[name], stored[f"{module}.weight_scale"] = weight, scale
                stored[f"{module}.weight_scale_2"] = scale_2
                stored[f"{module}.input_scale"] = torch.tensor(1.0)
    save_file(stored, path)


WAY = _Bfl()
