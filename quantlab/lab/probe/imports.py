"""Whether libraries can be imported now, asked of a fresh process.

A version says nothing of it: an update of another library, or of the system's, breaks an import
while both versions stay as they were. What this process has imported already says nothing either.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

from quantlab.catalog.schema import Method

__all__ = ["broken", "modules_of"]

LIMIT_S = 180.0
"""For all of them together; torch is the slowest."""
SAID = "imported "
CODE = f"""
import gc, importlib, sys
gc.disable()  # nothing of it is garbage before the end
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException:
        continue
    print({SAID!r} + name, flush=True)
"""


def modules_of(method: Method) -> list[str]:
    """What is imported where the packages of ``method`` are used."""
    return [method.imports.get(name, name.replace("-", "_")) for name in method.packages]


def broken(modules: Iterable[str]) -> set[str]:
    """Those that cannot be imported; also what came after one that ended the process."""
    asked = sorted(set(modules))
    if not asked:
        return set()
    command = [sys.executable, "-c", CODE, *asked]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, check=False
        ).stdout
    except subprocess.TimeoutExpired:
        return set(asked)
    found = {line.removeprefix(SAID) for line in said.splitlines() if line.startswith(SAID)}
    return set(asked) - found
