"""The shape table of a component from its safetensors headers.

A header has names and shapes, not which module is a Linear layer. That is looked up in the tables
of the listed models: the same class has modules of the same names, but for the numbers in them. A
tensor that no listed model's class has is judged by its shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from quantlab.catalog.own.headers import Tensor
from quantlab.catalog.sizes.shapes import listed_rows
from quantlab.errors import LoadError

__all__ = ["hidden_size", "module_rows"]

INTEGERS = {"I64": "int64", "I32": "int32", "U8": "uint8", "I8": "int8", "BOOL": "bool"}
FLOATS = ("F64", "F32", "F16", "BF16")
_DIGITS = re.compile(r"\d+")
Row = list[Any]


@dataclass(frozen=True)
class _Class:
    """What the tables know of a class: kind by pattern of module names, tied tensors by their full
    name and that of the tensor they share, and the order of its topmost modules."""

    kinds: Mapping[str, str]
    tied: Mapping[str, str]
    order: Mapping[str, int]


def hidden_size(config: Mapping[str, Any]) -> int:
    """The hidden width of a transformer, from its config.

    Raises:
        LoadError: the config does not say.
    """
    try:
        return max(1, int(config["num_attention_heads"]) * int(config["attention_head_dim"]))
    except (KeyError, TypeError, ValueError):
        raise LoadError(
            "transformer/config.json does not say how wide the transformer is"
        ) from None


def module_rows(cls: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> list[Row]:
    """``[module, kind, {tensor: shape}]`` of a component of class ``cls``; tied weights once.

    Where ``config`` says that the component is stored quantized, what its library packed counts as
    it is stored: as ``{"stored:uint8": [bytes]}``.
    """
    known = _known(cls)
    quantized = bool(config.get("quantization_config"))
    rows: dict[str, Row] = {}
    for full, tensor in tensors.items():
        if _is_tied(full, tensors, known, config):
            continue
        module, _, key = full.rpartition(".")
        module, kind = _place(module, key, tensor, known, quantized)
        own: dict[str, list[int]] = rows.setdefault(module, [module, kind, {}])[2]
        if quantized and (kind == "linear" or tensor.dtype not in FLOATS):
            stored = own.setdefault("stored:uint8", [0])
            stored[0] += tensor.bytes
            if module == "x_embedder":
                own["weight"] = [hidden_size(config), 0]  # tells the width, counts nothing
        elif tensor.dtype in INTEGERS:
            if kind != "unknown":
                own[f"{key}:{INTEGERS[tensor.dtype]}"] = list(tensor.shape)
        else:
            own[key] = list(tensor.shape)
    return sorted((row for row in rows.values() if row[2]), key=lambda row: _order(row[0], known))


def _place(
    module: str, key: str, tensor: Tensor, known: _Class, quantized: bool
) -> tuple[str, str]:
    """The module's name as the installed library has it, and its kind.

    Checkpoints of older versions have one more part in front, such as "text_model.", which the
    library drops when it reads them. Packed weights have names within the module's own.
    """
    names = [module, module.partition(".")[2]]
    if quantized:  # "to_q.weight.absmax" belongs to "to_q"
        names += [name.rpartition(".")[0] for name in names]
    for name in names:
        kind = known.kinds.get(_pattern(name))
        if kind is not None:
            return name, kind
    if tensor.dtype in INTEGERS:
        return module, "unknown"
    if key != "weight" or len(tensor.shape) not in (2, 4):
        return module, "other"
    return module, "linear" if len(tensor.shape) == 2 else "conv"


def _is_tied(
    full: str, tensors: Mapping[str, Tensor], known: _Class, config: Mapping[str, Any]
) -> bool:
    """Whether the tensor is another one's second name; a language model's head may be its own."""
    target = known.tied.get(full)
    if target is None or target not in tensors:
        return False
    return not (full.startswith("lm_head.") and config.get("tie_word_embeddings") is False)


@lru_cache(maxsize=16)
def _known(cls: str) -> _Class:
    kinds: dict[str, str] = {}
    tied: dict[str, str] = {}
    order: dict[str, int] = {}
    for module, kind, tensors in listed_rows(cls):
        kinds.setdefault(_pattern(module), kind)
        order.setdefault(module.partition(".")[0], len(order))
        for key, shape in tensors.items():
            if isinstance(shape, str):
                tied[f"{module}.{key}"] = shape.removeprefix("=")
    return _Class(kinds, tied, order)


def _pattern(name: str) -> str:
    return _DIGITS.sub("#", name)


def _order(name: str, known: _Class) -> tuple[int, Sequence[tuple[int, str]]]:
    """As the listed tables have it: topmost modules in their order, then 2 before 10."""
    parts = name.split(".")
    numbered = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
    return known.order.get(parts[0], len(known.order)), numbered
