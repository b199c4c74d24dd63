"""Schemes of flux-mini's denoiser that the project itself cannot make on a CPU, for tools/loss.py.

GGUF's K- and I-quants are packed by ggml's own quantizer, which the gguf package has not; torchao's
dynamic float8 is done in plain arithmetic.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog

__all__ = ["packed_by_ggml", "round_to_float8"]

MODEL = load_catalog().models["flux-mini"]
DENOISER = MODEL.denoiser


def packed_by_ggml(scheme: str, folder: Path) -> Any:
    """The denoiser with every Linear weight whose rows ggml's blocks divide packed as ``scheme``;
    the rule is that of lab/ways for the kinds that the gguf package writes."""
    import gguf
    import libggml
    import torch
    from diffusers import FluxTransformer2DModel, GGUFQuantizationConfig
    from safetensors.numpy import load_file

    library = ctypes.CDLL(str(Path(libggml.__file__).parent / "lib64" / "libggml-base.so"))
    pack = library.ggml_quantize_chunk
    size, place = ctypes.c_int64, ctypes.c_void_p
    pack.restype = ctypes.c_size_t
    pack.argtypes = [ctypes.c_int, place, place, size, size, size, place]
    kind = gguf.GGMLQuantizationType[scheme.removeprefix("gguf-").upper()]
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    source, target = PROJECT / MODEL.source / DENOISER, folder / f"{scheme}.gguf"
    writer = gguf.GGUFWriter(str(target), arch="flux")
    for shard in sorted(source.glob("*.safetensors")):
        for name, array in load_file(shard).items():
            values = array.astype("float32")
            if values.ndim != 2 or values.shape[1] % block:
                writer.add_tensor(name, values)
                continue
            rows, columns = values.shape
            out = bytearray(rows * columns // block * block_bytes)
            into = (ctypes.c_char * len(out)).from_buffer(out)
            pack(int(kind), values.ctypes.data, into, 0, rows, columns, None)
            stored = torch.frombuffer(out, dtype=torch.uint8).reshape(rows, -1).numpy()
            writer.add_tensor(name, stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    config = GGUFQuantizationConfig(compute_dtype=torch.float32)
    return FluxTransformer2DModel.from_single_file(
        str(target), config=str(source), quantization_config=config, dtype=torch.float32
    )


def round_to_float8(module: Any) -> None:
    """Round weights and activations of ``module``'s Linear layers to float8, a scale a tensor."""
    import torch

    kind = torch.float8_e4m3fn
    largest = torch.finfo(kind).max

    def rounded(value: Any) -> Any:
        scale = value.abs().amax().clamp(min=1e-12) / largest
        return (value / scale).to(kind).to(value.dtype) * scale

    for layer in module.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight.data = rounded(layer.weight.data)
            layer.register_forward_pre_hook(lambda _, args: (rounded(args[0]), *args[1:]))
