"""How large a value of a control may be, whatever the browser that sends it is made of.

``max_length`` of a control holds in an honest browser only; here it holds for everybody, before any
handler sees the value.
"""

from __future__ import annotations

from typing import Any

from quantlab.errors import InputError

__all__ = ["MAX_ITEMS", "MAX_TEXT", "check_value"]

MAX_TEXT = 4000
"""Characters of a text whose control names no limit of its own: a prompt's longest."""
MAX_ITEMS = 200
"""Entries of a list or a mapping."""
MAX_DEPTH = 6


def check_value(value: Any, *, longest: int | None = None, name: str = "value") -> None:
    """Refuse what no honest control sends: long texts, long or deep lists.

    Raises:
        InputError: names the control and what is allowed.
    """
    _check(value, longest or MAX_TEXT, name, 0)


def _check(value: Any, longest: int, name: str, depth: int) -> None:
    if isinstance(value, str):
        if len(value) > longest:
            raise InputError(name, f"{len(value)} characters; at most {longest} are allowed")
    elif isinstance(value, dict | list | tuple):
        if len(value) > MAX_ITEMS or depth > MAX_DEPTH:
            raise InputError(name, f"more than {MAX_ITEMS} entries or {MAX_DEPTH} levels")
        pairs = value.items() if isinstance(value, dict) else ((name, item) for item in value)
        for key, item in pairs:
            if isinstance(value, dict):
                _check(key, longest, name, depth + 1)
            _check(item, longest, name, depth + 1)
