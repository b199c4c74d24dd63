"""Bytes that a module's weights really take, what kind they are, and what they are multiplied with.

Quantization libraries hide their data in tensor subclasses and side tables, so that
``get_memory_footprint()`` and ``parameter.nbytes`` are wrong for several of them. Here every
subclass is taken apart into the plain tensors it holds, each counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from quantlab.catalog.schema import Scheme
from quantlab.catalog.sizes.storage import weight_bytes
from quantlab.errors import VerificationError
from quantlab.lab.libraries import torch
from quantlab.lab.own.built import kept_in_fp32

__all__ = ["flatten_inputs", "plain_tensors", "plain_weights", "stored_bytes", "verify"]

_SIDE = ("quant_state", "state2", "absmax", "code", "offset", "SCB")


def stored_bytes(module: Any) -> int:
    """Bytes of all weights of ``module``: parameters, persistent buffers, quantization state.

    Tensors that share memory (tied weights) count once.
    """
    seen: dict[tuple[int, int], int] = {}
    for plain in plain_weights(module):
        size = plain.numel() * plain.element_size()
        seen[plain.data_ptr(), size] = size
    return sum(seen.values())


def plain_weights(module: Any) -> Iterator[Any]:
    """All plain tensors of ``module``'s weights, layer by layer; tied ones more than once."""
    for tensor in _weights(module):
        yield from plain_tensors(tensor)


def _weights(module: Any) -> Iterator[Any]:
    for part in module.modules():
        yield from part._parameters.values()
        lasting = part._non_persistent_buffers_set
        yield from (b for name, b in part._buffers.items() if name not in lasting)
        # bitsandbytes moves the row scales of int8 weights from the weight to the layer's state
        # at the first call.
        moved = getattr(getattr(part, "state", None), "SCB", None)
        if isinstance(moved, torch().Tensor):
            yield moved
        # HQQ keeps its scales in a dictionary beside the weight.
        kept = getattr(part, "meta", None)
        if isinstance(kept, dict):
            yield from (value for value in kept.values() if isinstance(value, torch().Tensor))


def plain_tensors(value: Any) -> Iterator[Any]:
    """The plain tensors that ``value`` is made of: a tensor, a subclass, or quantization state."""
    if isinstance(value, torch().Tensor):
        if hasattr(value, "__tensor_flatten__") and type(value) is not torch().nn.Parameter:
            for name in value.__tensor_flatten__()[0]:
                yield from plain_tensors(getattr(value, name))
        else:
            yield value
    attributes = getattr(value, "__dict__", {})
    for name in _SIDE:
        if attributes.get(name) is not None:
            yield from plain_tensors(attributes[name])


def verify(module: Any, scheme: Scheme, component: str, kept: Iterable[str] = ()) -> None:
    """Check that every Linear of ``module`` holds ``scheme``, but for those its library skips.

    ``kept`` are patterns of further layers that stay at full width: those that the scheme was told
    to leave alone, and those that a ready file has so.

    Raises:
        VerificationError: names the component, how many layers differ, and what one holds.
    """
    patterns = (*scheme.left_alone(type(module).__name__), *kept)
    in_fp32 = set(kept_in_fp32(module))  # whatever quantizes, diffusers has it leave these alone
    wrong, right = [], 0
    for name, layer in _linears(module):
        if in_fp32 & set(name.split(".")):
            continue
        held = scheme.layers.get(name) if scheme.layers else scheme
        if held is None or _matches(name, patterns):
            continue
        if _holds(layer, held.holds):
            right += 1
        elif not _is_narrow(layer, held) and not _left_alone(layer, held):
            wrong.append((name, layer))
    if wrong or not right:
        total = len(wrong) + right
        found = f"; {wrong[0][0]} holds {_describe(wrong[0][1])}" if wrong else ""
        raise VerificationError(
            f"{component} was asked for in {scheme.id}, but {len(wrong)} of {total} "
            f"linear layers do not hold it{found}"
        )


def flatten_inputs(model: Any) -> None:
    """Give every Linear of ``model`` with a packed weight its input [..., n] as a matrix of rows.

    PyTorch multiplies a transposed input of three dimensions, as image tokens often are, one batch
    at a time with an expanded weight; tensors of some libraries know no such product.
    """
    import functools

    import torch

    def forward(layer: Any, x: Any) -> Any:
        rows = x.reshape(-1, x.shape[-1]).contiguous()
        out = torch.nn.functional.linear(rows, layer.weight, layer.bias)
        return out.view(*x.shape[:-1], layer.out_features)

    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and type(layer.weight) is not torch.nn.Parameter:
            layer.forward = functools.partial(forward, layer)


def _is_narrow(layer: Any, scheme: Scheme) -> bool:
    """Whether its rows do not suit the scheme's groups, and it holds what such a layer must."""
    if scheme.storage is None or not hasattr(layer, "in_features"):
        return False
    whole = layer.in_features % scheme.storage.group == 0 if scheme.storage.group > 0 else True
    return not whole and _holds(layer, scheme.narrow)


def _left_alone(layer: Any, scheme: Scheme) -> bool:
    """Whether it is as it was because its shape does not suit: torchao's int4 and FLUX's 64 inputs.

    Which shapes these are is what the predicted bytes follow too.
    """
    weight = _weight(layer)
    if scheme.storage is None or type(weight) is not torch().nn.Parameter or weight.ndim != 2:
        return False
    rows, columns = weight.shape
    return weight_bytes(scheme.storage, rows, columns, weight.element_size()) is None


def _linears(module: Any) -> Iterator[tuple[str, Any]]:
    """Linear layers, also where a library has put its own class in their place."""
    for name, layer in module.named_modules():
        if "Linear" in type(layer).__name__ and _weight(layer) is not None:
            yield name, layer


def _weight(layer: Any) -> Any:
    """What a Linear layer multiplies with, packed or not: HQQ calls it ``W_q``, AutoRound
    ``qweight``."""
    found = (getattr(layer, name, None) for name in ("weight", "W_q", "qweight"))
    return next((weight for weight in found if weight is not None), None)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _holds(layer: Any, expected: Mapping[str, str]) -> bool:
    return bool(expected) and all(
        _attribute(layer, path) == text for path, text in expected.items()
    )


def _attribute(layer: Any, path: str) -> str | None:
    value = layer
    for name in path.split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, tuple) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]  # of a shape
        elif hasattr(value, name):
            value = getattr(value, name)
        else:
            return None
    return str(value)


def _describe(layer: Any) -> str:
    weight = _weight(layer)
    kind = type(weight.data if type(weight) is torch().nn.Parameter else weight).__name__
    return f"{kind} of {weight.dtype}"
