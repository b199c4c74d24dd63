"""The shape table of a component that is stored quantized, from its safetensors headers.

What its library packed counts as it is stored; which module a tensor belongs to is looked up in the
table that the class makes of the config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantlab.catalog.own.headers import Tensor

__all__ = ["stored_rows"]

INTEGERS = {"I64": "int64", "I32": "int32", "U8": "uint8", "I8": "int8", "BOOL": "bool"}
FLOATS = ("F64", "F32", "F16", "BF16")
Row = list[Any]


def stored_rows(
    built: Sequence[Sequence[Any]], tensors: Mapping[str, Tensor], stream: str = ""
) -> list[Row]:
    """``[module, kind, {tensor: shape}]`` of a component whose unquantized rows are ``built``.

    What is packed stands as ``{"stored:uint8": [bytes]}``, a tied weight once. The module called
    ``stream`` keeps the first number of its weight's shape, which tells the width.
    """
    kinds = {module: kind for module, kind, _ in built}
    widths = {module: own["weight"][0] for module, _, own in built if module == stream}
    tied = {
        f"{module}.{key}": shape.removeprefix("=")
        for module, _, own in built
        for key, shape in own.items()
        if isinstance(shape, str)
    }
    rows: dict[str, Row] = {}
    for full, tensor in tensors.items():
        if tied.get(full) in tensors:
            continue
        module, _, key = full.rpartition(".")
        module, kind = _place(module, key, tensor, kinds)
        own: dict[str, list[int]] = rows.setdefault(module, [module, kind, {}])[2]
        if kind == "linear" or tensor.dtype not in (*FLOATS, *INTEGERS):
            own.setdefault("stored:uint8", [0])[0] += tensor.bytes
            if module in widths:
                own["weight"] = [widths[module], 0]  # tells the width, counts nothing
        elif tensor.dtype in INTEGERS:
            if kind == "unknown":
                own.setdefault("stored:uint8", [0])[0] += tensor.bytes
            else:
                own[f"{key}:{INTEGERS[tensor.dtype]}"] = list(tensor.shape)
        else:
            own[key] = list(tensor.shape)
    order = {module: place for place, (module, _, _) in enumerate(built)}
    return sorted((r for r in rows.values() if r[2]), key=lambda r: order.get(r[0], len(order)))


def _place(module: str, key: str, tensor: Tensor, kinds: Mapping[str, str]) -> tuple[str, str]:
    """The module's name as the installed library has it, and its kind.

    Checkpoints of older versions have one more part in front, such as "text_model.", which the
    library drops when it reads them. Packed weights have names within the module's own:
    "to_q.weight.absmax" belongs to "to_q".
    """
    names = [module, module.partition(".")[2]]
    names += [name.rpartition(".")[0] for name in names]
    for name in names:
        kind = kinds.get(name)
        if kind is not None:
            return name, kind
    if tensor.dtype in INTEGERS:
        return module, "unknown"
    if key != "weight" or len(tensor.shape) not in (2, 4):
        return module, "other"
    return module, "linear" if len(tensor.shape) == 2 else "conv"
