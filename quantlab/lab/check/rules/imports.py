"""Names that a library does not have, or no longer."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from quantlab.lab.check.mend import replace
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.rules.names import REPLACED
from quantlab.lab.check.uses import Code

__all__ = ["no_such_name"]

MODULES = {"diffusers": "diffusers", "torchao.quantization": "torchao"}
"""Modules whose names are known -> the list of them."""


@rule(
    "no-such-name",
    "error",
    why="The installed versions that this was written against do not have it.",
    source="https://github.com/pytorch/ao/blob/v0.18.0/torchao/quantization/__init__.py",
    versions={"torchao": ">=0.18,<0.19", "diffusers": ">=0.42,<0.43"},
    says=(r"cannot import name '\w+' from '(torchao\.quantization|diffusers)'",),
)
def no_such_name(code: Code) -> Iterator[Hit]:
    """``from torchao.quantization import X`` where there is no X; of diffusers too."""
    for each in code.program.imports:
        module, _, name = each.path.rpartition(".")
        known = code.libraries.names.get(MODULES.get(module, ""))
        if known is None or name in known or name in REPLACED or name.startswith(("_", "*")):
            continue
        close = difflib.get_close_matches(name, known, 1, 0.9)
        edit = replace(each.alias, close[0]) if close and each.alias.asname is None else None
        version = code.libraries.versions[MODULES[module]]
        yield Hit(each.alias, f"{module} {version} has no {name}: the import fails.", (edit,))
