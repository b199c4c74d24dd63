"""All rules, by listing the folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache

from quantlab.lab.check import rules
from quantlab.lab.check.rule import Rule

__all__ = ["every_rule"]


@lru_cache(maxsize=1)
def every_rule() -> tuple[Rule, ...]:
    """Every rule, by its code.

    Raises:
        ValueError: two rules have one code.
    """
    found: dict[str, Rule] = {}
    for module in pkgutil.iter_modules(rules.__path__, f"{rules.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Rule):
                if found.get(value.code, value) is not value:
                    raise ValueError(f"two rules are called {value.code}")
                found[value.code] = value
    return tuple(found[code] for code in sorted(found))
