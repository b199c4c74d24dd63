"""bitsandbytes on the loaded component, where diffusers refuses it: on a CPU."""

from __future__ import annotations

from typing import Any

from quantlab.catalog.schema import Method
from quantlab.lab.libraries import resolve
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.load.way import Way
from quantlab.lab.script.script import Script

__all__ = ["WAY", "quantize_with_bitsandbytes"]


class _Bitsandbytes(Way):
    def stands_in(self, part: Part) -> bool:
        return part.by_library and part.scheme is not None and part.scheme.library_way == ID

    def load(self, part: Part) -> Loaded:
        module = part.files().read(part)
        args = dict(part.spec.args) | {"compute_dtype": resolve(part.dtype)}
        quantize_with_bitsandbytes(module, **args, skip=_skip(part))
        return Loaded(module, "the library, on the loaded component")

    def write(self, part: Part, script: Script) -> None:
        script.base(part)
        script.embed(quantize_with_bitsandbytes)
        args = {**part.spec.args, "compute_dtype": None, "skip": _skip(part)}
        text = ", ".join(
            f"{key}={part.dtype if key == 'compute_dtype' else repr(value)}"
            for key, value in args.items()
            if key != "bnb_4bit_compute_dtype"
        )
        script.after.append(f"quantize_with_bitsandbytes(pipe.{part.component.name}, {text})")

    def why_not_saved(self, part: Part, method: Method) -> str:  # noqa: ARG002
        return "diffusers refuses it on a CPU, so that what is saved here cannot be loaded again"


ID = "bitsandbytes"


def _skip(part: Part) -> tuple[str, ...]:
    return part.scheme.left_alone(part.component.cls, part.kept) if part.scheme else ()


def quantize_with_bitsandbytes(
    model: Any,
    *,
    compute_dtype: Any,
    skip: tuple[str, ...] = (),
    load_in_8bit: bool = False,
    bnb_4bit_quant_type: str = "nf4",
    bnb_4bit_use_double_quant: bool = False,
    **_: Any,
) -> None:
    """Put bitsandbytes layers in the place of ``model``'s Linear layers, on the CPU.

    diffusers refuses bitsandbytes without a GPU; the library itself quantizes and runs there.
    """
    import fnmatch

    import bitsandbytes as bnb
    import diffusers
    import torch

    known = isinstance(model, diffusers.ModelMixin) and model._keep_in_fp32_modules
    in_fp32 = set(known or ())  # which diffusers has no library quantize
    for name, linear in list(model.named_modules()):
        skipped = any(fnmatch.fnmatchcase(name, pattern) for pattern in skip)
        skipped = skipped or bool(in_fp32 & set(name.split(".")))
        if not isinstance(linear, torch.nn.Linear) or skipped:
            continue
        size = (linear.in_features, linear.out_features, linear.bias is not None)
        if load_in_8bit:
            layer = bnb.nn.Linear8bitLt(*size, has_fp16_weights=False, threshold=6.0, device="meta")
            layer.weight = bnb.nn.Int8Params(
                linear.weight.data, requires_grad=False, has_fp16_weights=False
            )
        else:
            layer = bnb.nn.Linear4bit(
                *size, compute_dtype=compute_dtype, quant_type=bnb_4bit_quant_type, device="meta"
            )
            layer.weight = bnb.nn.Params4bit(
                linear.weight.data,
                requires_grad=False,
                quant_type=bnb_4bit_quant_type,
                compress_statistics=bnb_4bit_use_double_quant,
            )
        layer.bias = linear.bias
        parent, _, leaf = name.rpartition(".")
        layer = layer.to("cpu")
        # In evaluation mode the kernel for CPUs with bf16 takes a transposed input of batch 1 for
        # a plain one and gives garbage (bitsandbytes 0.50.2, backends/cpu/ops.py, gemv_4bit).
        layer.register_forward_pre_hook(lambda _, args: (args[0].contiguous(), *args[1:]))
        setattr(model.get_submodule(parent), leaf, layer)


WAY = _Bitsandbytes()
