"""A component built from its config on torch's meta device: every module by name, kind and shape.

No weights, no network. The class is one of diffusers or transformers; what brings code of its own
is not built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantlab.lab.libraries import resolve, torch

__all__ = ["build", "decoding_of", "kept_in_fp32", "module_rows"]

KINDS = (("linear", "Linear"), ("conv", "Conv"), ("embedding", "Embedding"), ("norm", "Norm"))
"""(kind, part of torch's class name); whatever fits none is "other"."""


def build(library: str, cls: str, config: Mapping[str, Any]) -> Any:
    """The module of class ``library.cls`` that ``config`` describes, on the meta device.

    Whatever the library raises for a config that it does not take leaves this function.
    """
    found = resolve(f"{library}.{cls}")
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    with torch().device("meta"):
        if library == "diffusers":
            return found.from_config(plain)
        return found(found.config_class(**plain))


def kept_in_fp32(module: Any) -> list[str]:
    """The names that diffusers keeps in fp32, wherever they are a part of a tensor's name."""
    known = getattr(module, "_keep_in_fp32_modules", None) if hasattr(module, "config_name") else []
    return list(known or [])


TILES = ("tile_sample_min_size", "tile_sample_min_height")
"""diffusers' names for the pixels across a tile of an autoencoder's tiled decoding."""


def decoding_of(module: Any) -> dict[str, Any]:
    """What an autoencoder takes less memory by as it decodes: ``tile``, the pixels across a tile of
    tiled decoding, and ``slices``, that it decodes a batch one by one; empty where it can neither.

    Asked of the module itself: ``enable_tiling`` is there for every class, and refuses, or does
    nothing, where the class has no tiles.
    """
    found: dict[str, Any] = {}
    if hasattr(module, "use_tiling"):
        sides = (getattr(module, name, None) for name in TILES)
        found |= {"tile": next((side for side in sides if type(side) is int), None)}
    if getattr(module, "use_slicing", None) is not None:
        found |= {"slices": True}
    return {key: value for key, value in found.items() if value is not None}


def module_rows(module: Any) -> list[list[Any]]:
    """``[name, kind, {parameter: shape}]`` of every module that holds tensors of its own.

    A tensor that was there before (tied weights) is "=" and its first name instead of a shape.
    Buffers count where they are saved with the weights; "name:dtype" where they are not floats.
    """
    first: dict[int, str] = {}
    rows = []
    for name, part in module.named_modules():
        tensors = {}
        for key, tensor in _own(part):
            full = f"{name}.{key}" if name else key
            known = first.setdefault(id(tensor), full)
            label = key if tensor.is_floating_point() else f"{key}:{str(tensor.dtype)[6:]}"
            tensors[label] = list(tensor.shape) if known == full else f"={known}"
        if tensors:
            rows.append([name, _kind(part), tensors])
    return rows


def _own(part: Any) -> list[tuple[str, Any]]:
    lasting = part._non_persistent_buffers_set
    buffers = [(key, b) for key, b in part._buffers.items() if key not in lasting]
    return [(key, t) for key, t in [*part._parameters.items(), *buffers] if t is not None]


def _kind(part: Any) -> str:
    name = type(part).__name__
    return next((kind for kind, piece in KINDS if piece in name), "other")
