"""Letting go of the modules of a component that no picture from text depends on.

Files are read whole, since libraries build what a config describes; what idles is let go of right
after that, before the component comes to a device, or, where its library quantizes there, as soon
as it has done so.
"""

from __future__ import annotations

from typing import Any

__all__ = ["trim"]


def trim(model: Any, idle: tuple[str, ...]) -> None:
    """Let go of the weights of all modules that a pattern of ``idle`` names.

    Whole layers hand on what they get, so that the states of the others keep their numbers.
    """
    import fnmatch

    import torch

    def idles(name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in idle)

    known = dict(model.named_modules())
    owners = [n for n, m in known.items() if any(True for _ in m.parameters(recurse=False))]
    used = [name for name in owners if not idles(name)]
    above = {".".join(n.split(".")[:end]) for n in used for end in range(1, n.count(".") + 2)}
    wholes = {}  # the largest modules of which nothing is used
    for name in (name for name in owners if idles(name)):
        parts = name.split(".")
        names = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
        wholes[next(each for each in names if each not in above)] = True
    for name in wholes:
        module, (parent, _, leaf) = known[name], name.rpartition(".")
        if any(True for _ in module.children()):  # its class tells others what it is
            module._modules.clear()
            module._parameters.clear()
            module.forward = lambda states, *_, **__: states
        else:
            known[parent]._modules[leaf] = torch.nn.Identity()
