"""An error message that is pasted alone, recognised by the rule whose message it is."""

from __future__ import annotations

import ast
import re

from quantlab.lab.check.every import every_rule
from quantlab.lab.check.finding import Finding

__all__ = ["recognised"]

_MESSAGE = re.compile(r"^\s*(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception)\b.*$|Traceback", re.MULTILINE)
LONGEST = 20_000
"""Characters in which a message is looked for."""


def recognised(text: str, name: str) -> tuple[Finding, ...]:
    """What the rules say of an error message; nothing where ``text`` is code."""
    if len(text) > LONGEST or not (_MESSAGE.search(text) or not _is_code(text)):
        return ()
    if "Traceback" not in text and _is_code(text) and not _MESSAGE.match(text):
        return ()
    found = []
    for rule in every_rule():
        match = next((m for says in rule.says if (m := says.search(text))), None)
        if match is not None:
            line = text.count("\n", 0, match.start()) + 1
            said = f"This message is that of {rule.code}. {rule.why}"
            found.append(Finding(name, line, rule.severity, rule.code, said, rule.source))
    return tuple(found)


def _is_code(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
