"""AutoRound without iterations: its library rounds the loaded component, diffusers reads the file.

diffusers quantizes nothing with AutoRound itself, it reads what was stored. What is not known: the
kernels that it takes on a GPU, so that it is refused there.
"""

from __future__ import annotations

import tempfile
from typing import Any

from quantlab.catalog.schema import Method
from quantlab.lab.libraries import resolve
from quantlab.lab.load.keys import DTYPES
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script
from quantlab.lab.ways.cast import cast_component

__all__ = ["WAY", "write_auto_round"]


class _AutoRound(Way):
    by_config = False

    def why_not(self, part: Part) -> str | None:
        return None if part.device == "cpu" else "what is rounded here was tried on a CPU only"

    def load(self, part: Part) -> Loaded:
        module, own = part.files().read(part), resolve(_dtype(part))
        with tempfile.TemporaryDirectory(prefix="quantlab-auto-round-") as folder:
            write_auto_round(module, folder, _keep(part))
            del module
            found = resolve(part.cls).from_pretrained(folder, dtype=own).eval()
        if own != resolve(part.dtype):
            cast_component(found, own, resolve(part.dtype))
        return Loaded(found, "rounded by its library, read by diffusers")

    def write(self, part: Part, script: Script) -> None:
        name, own = part.component.name, _dtype(part)
        folder = f"{part.model.id}-{name}-auto-round"
        script.embed(write_auto_round)
        if part.lora is not None:
            script.fuse(part)
        else:
            script.component(part, "", None)
        script.before += [
            f'write_auto_round({name}, "{folder}", {_keep(part)!r})',
            f'{name} = {part.cls}.from_pretrained("{folder}", dtype={own}).eval()',
        ]
        if own != part.dtype:
            script.embed(cast_component)
            script.after.append(f"cast_component(pipe.{name}, {own}, {part.dtype})")

    def why_not_saved(self, part: Part, method: Method) -> str | None:
        if part.dtype != _dtype(part):
            return "it computes in bf16, and what is saved has no dtype of its own in a pipeline"
        return super().why_not_saved(part, method)


def _dtype(part: Part) -> str:
    """AutoRound's layers take no fp32."""
    return DTYPES[part.known.computes_in]


def _keep(part: Part) -> tuple[str, ...]:
    return part.known.left_alone(part.component.cls, part.kept)


def write_auto_round(model: Any, folder: str, keep: tuple[str, ...] = ()) -> None:
    """Write a diffusers ``model`` as AutoRound stores W4A16: symmetric, groups of 128, each weight
    rounded to the nearest.

    What a pattern of ``keep`` names stays as it is, and so do layers that groups of 128 inputs or
    words of 32 outputs do not divide. diffusers' ``from_pretrained`` reads ``folder``.
    """
    import fnmatch
    import json
    import pathlib

    import torch
    from auto_round.utils.model_free_utils import quantize_weight_rtn
    from safetensors.torch import save_file

    packing, in_fp32 = "auto_round:auto_gptq", set(model._keep_in_fp32_modules or ())
    stored = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    whole, within = {}, set()
    for name, linear in model.named_modules():
        if not isinstance(linear, torch.nn.Linear):
            continue
        skipped = any(fnmatch.fnmatchcase(name, pattern) for pattern in keep)
        narrow = linear.in_features % 128 or linear.out_features % 32
        if skipped or narrow or in_fp32 & set(name.split(".")):
            whole[name] = {"bits": 16, "data_type": "float"}
            continue
        within.add(name.split(".")[0])
        weight = stored.pop(f"{name}.weight")
        packed = quantize_weight_rtn(weight, bits=4, group_size=128, packing=packing)
        for part, tensor in zip(("qweight", "qzeros", "scales"), packed, strict=True):
            stored[f"{name}.{part}"] = tensor
    model.save_config(folder)
    path = pathlib.Path(folder, "config.json")
    config = json.loads(path.read_text(encoding="utf-8"))
    config["quantization_config"] = {
        "quant_method": "auto-round", "packing_format": packing, "data_type": "int", "bits": 4,
        "group_size": 128, "sym": True, "iters": 0, "extra_config": whole,
        "block_name_to_quantize": sorted(within),
    }  # fmt: skip
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file(stored, pathlib.Path(folder, "diffusion_pytorch_model.safetensors"))


WAY = _AutoRound()
