"""Where a pipeline's weights wait and where they run: on the device, or in host memory till needed.

The kinds are those of catalog/placement.py, which chooses among them by prediction, and "cpu",
where there is nothing to choose. Components are shared between plans that may be placed
differently, so that each placing begins by taking every hook of an earlier one off. Under model
offload diffusers' hooks keep the text encoders off the device once the prompt is encoded; under
group offload every leaf is there only while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from quantlab.errors import PlanError
from quantlab.lab.libraries import load, resolve, torch

__all__ = ["apply", "clear", "modules_of", "onto", "park", "refuse_sequential"]

_GROUP_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")
"""diffusers' names for the hooks of group offload (0.42.1, hooks/group_offloading.py). Its other
hooks, such as those of layerwise casting, belong to the component and stay."""


def apply(
    pipe: Any, kind: str, target: str, options: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Place the components of ``pipe`` for running on device ``target``.

    ``kind`` is "cpu" (nothing is moved), "resident", "model-offload" or "group-offload", which
    takes ``options`` as diffusers' ``enable_group_offload`` does.

    Raises:
        PlanError: another kind; sequential offload above all.
    """
    modules = modules_of(pipe)
    clear(modules)
    if kind == "resident":
        for module in modules:
            onto(module, target)
    elif kind == "model-offload":
        pipe.enable_model_cpu_offload(device=target)
    elif kind == "group-offload":
        for module in modules:
            onto(module, "cpu")
        pipe.enable_group_offload(onload_device=torch().device(target), **options)
    elif kind == "sequential-offload":
        raise refuse_sequential()
    elif kind != "cpu":
        raise PlanError(f"there is no placement {kind!r}")


def refuse_sequential() -> PlanError:
    """Why sequential offload is not used. Sources: diffusers issues 10470, 10526 and 14691."""
    return PlanError(
        "sequential offload is not used: it rebuilds every weight as a plain tensor, which those "
        "of torchao, quanto and GGUF do not survive; model offload works with all of them"
    )


def modules_of(pipe: Any) -> list[Any]:
    """The components of ``pipe`` that have weights."""
    return [part for part in pipe.components.values() if isinstance(part, torch().nn.Module)]


def clear(modules: Iterable[Any]) -> None:
    """Take the hooks of every kind of offload off; the weights stay where they lie."""
    for module in modules:
        if any(hasattr(part, "_hf_hook") for part in module.modules()):
            resolve("accelerate.hooks.remove_hook_from_module")(module, recurse=True)
        if any(hasattr(part, "_diffusers_hook") for part in module.modules()):
            registry = load("diffusers.hooks.hooks").HookRegistry.check_if_exists_or_initialize(
                module
            )
            for name in _GROUP_HOOKS:
                registry.remove_hook(name, recurse=True)


def park(module: Any) -> None:
    """Off the device and free of hooks, to wait for a later plan."""
    clear([module])
    onto(module, "cpu")


def onto(module: Any, target: str) -> None:
    """Move a module, unless it is there: some libraries refuse even a move that changes nothing."""
    wanted = torch().device(target).type
    if any(tensor.device.type != wanted for tensor in _tensors(module)):
        module.to(target)


def _tensors(module: Any) -> Iterable[Any]:
    yield from module.parameters()
    yield from module.buffers()
