"""What is done to a component where no config class does it.

Each function here stands alone: it imports what it needs and calls nothing else of quantlab, so
that a snippet can carry its source and do exactly the same.
"""

from __future__ import annotations

from typing import Any

__all__ = ["cast_component", "quantize_with_bitsandbytes", "write_gguf"]


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
    import torch

    for name, linear in list(model.named_modules()):
        skipped = any(fnmatch.fnmatchcase(name, pattern) for pattern in skip)
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
        setattr(model.get_submodule(parent), leaf, layer.to("cpu"))


def write_gguf(folder: str, path: str, kind: str) -> None:
    """Write a diffusers transformer's safetensors in ``folder`` to a GGUF file of ``kind``.

    The weights of Linear layers (2-D, rows a multiple of 32) are stored as ``kind``, such as
    "Q4_0"; everything else as F32. The file appears whole or not at all.
    """
    import os
    import pathlib

    import gguf
    from safetensors.numpy import load_file

    quantized = gguf.GGMLQuantizationType[kind]
    temporary = f"{path}.{os.getpid()}.part"
    writer = gguf.GGUFWriter(temporary, arch="flux")
    for shard in sorted(pathlib.Path(folder).glob("*.safetensors")):
        for name, array in load_file(shard).items():
            values = array.astype("float32")
            if values.ndim == 2 and values.shape[1] % 32 == 0:
                packed = gguf.quants.quantize(values, quantized)
                writer.add_tensor(name, packed, raw_dtype=quantized)
            else:
                writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(temporary, path)


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

    model.to(dtype)
    model.register_forward_pre_hook(
        lambda _, args, kwargs: (to(args, dtype), to(dict(kwargs), dtype)), with_kwargs=True
    )
    model.register_forward_hook(lambda _, __, output: to(output, pipeline_dtype))
