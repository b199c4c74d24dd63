"""Tensors that lie in tuples, lists and dicts, as pipelines hand them to their denoisers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from quantlab.lab.libraries import torch

__all__ = ["first_of", "mapped", "named", "on"]


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """``value`` with every tensor in it changed; whatever holds them stays what it is."""
    if isinstance(value, torch().Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)(mapped(item, change) for item in value)
    if isinstance(value, Mapping):
        return {key: mapped(item, change) for key, item in value.items()}
    return value


def on(value: Any, device: str) -> Any:
    """``value`` with every tensor in it on ``device``."""
    return mapped(value, lambda tensor: tensor.to(device))


def named(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What ``module`` is called with, all by the names of its ``forward``'s parameters."""
    bound = inspect.signature(type(module).forward).bind(module, *args, **kwargs)
    arguments = dict(bound.arguments)
    arguments.pop(next(iter(arguments)))  # the module itself
    for parameter in bound.signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name, {})
    return arguments


def first_of(output: Any) -> Any:
    """The tensor that a denoiser gives: the first of what it returns, images stacked."""
    first = output[0]
    return torch().stack(list(first)) if isinstance(first, list | tuple) else first
