"""A LoRA as a comparison names it."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Lora", "hub_parts"]

_HUB = re.compile(
    r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w.-]+))?(?::([\w-][\w. /-]*\.safetensors))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Lora:
    """A LoRA by its name, and how strongly it acts; a weight of 1 is as it was trained."""

    name: str
    weight: float = 1.0

    def __str__(self) -> str:
        return f"LoRA {self.name}, weight {self.weight:g}"


def hub_parts(name: str) -> tuple[str, str, str | None] | None:
    """Repository, revision and file of a LoRA on the hub; None where ``name`` is not one's."""
    found = _HUB.fullmatch(name)
    if found is None or ".." in name:
        return None
    return found[1], found[2] or "main", found[3]
