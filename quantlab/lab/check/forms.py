"""Config objects written anew: for another library, and as the entries of a mapping."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from quantlab.lab.check.code.values import Argument, Call, const
from quantlab.lab.check.finding import Edit
from quantlab.lab.check.known import Class
from quantlab.lab.check.mend import add_import
from quantlab.lab.check.rules.names import REPLACED
from quantlab.lab.check.uses import Code

__all__ = ["ALIASES", "config_text", "mapping_text", "pipeline_config_import"]

ALIASES = {"diffusers": "Diffusers", "transformers": "Transformers"}
"""What a class's name begins with where both libraries' are imported."""
ACROSS = {
    ("diffusers", "weights"): "weights_dtype",
    ("transformers", "weights_dtype"): "weights",
}
"""(Library, keyword of the other) -> its own keyword for the same."""
ELSEWHERE = {"SDNQConfig": "sdnq"}
"""Classes that stand for both libraries, and where they are imported from."""


def config_text(
    code: Code, library: str, name: str, given: Mapping[str, Argument]
) -> tuple[str, list[Edit]] | None:
    """A config of ``library`` with the same arguments, as code, and the imports it takes; None
    where the class does not have one of them."""
    home = ELSEWHERE.get(name, library)
    known = code.libraries.takes(Class(library, name))
    called = name if home != library else f"{ALIASES[library]}{name}"
    parts, imports = [], []
    for key, argument in given.items():
        own = ACROSS.get((library, key), key)
        if known is not None and own not in known:
            return None
        text, more = _written(code, argument)
        parts.append(f"{own}={text}")
        imports += more
    line = f"from {home} import {name}" + (f" as {called}" if called != name else "")
    imports.append(add_import(code.program.tree, line))
    return f"{called}({', '.join(parts)})", imports


def _written(code: Code, argument: Argument) -> tuple[str, list[Edit]]:
    """An argument as it stands in the code; the old name of a type of torchao as its class."""
    cls = REPLACED.get(str(const(argument.value)))
    if cls is not None:
        line = f"from torchao.quantization import {cls}"
        return f"{cls}()", [add_import(code.program.tree, line)]
    return ast.get_source_segment(code.text, argument.node) or ast.unparse(argument.node), []


def mapping_text(
    code: Code, name: str, given: Mapping[str, Argument], components: Mapping[str, str]
) -> tuple[str, list[Edit]] | None:
    """``quant_mapping={...}`` with a config of its own library for each component."""
    lines, edits = [], []
    for component, library in components.items():
        made = config_text(code, library, name, given)
        if made is None:
            return None
        text, imports = made
        lines.append(f'        "{component}": {text},\n')
        edits += imports
    return "quant_mapping={\n" + "".join(lines) + "    }", edits


def pipeline_config_import(code: Code) -> Edit:
    """The import of ``PipelineQuantizationConfig``."""
    line = "from diffusers.quantizers import PipelineQuantizationConfig"
    known = any(i.path.endswith(".PipelineQuantizationConfig") for i in code.program.imports)
    return Edit((1, 0), (1, 0), "") if known else add_import(code.program.tree, line)


def given_to(code: Code, call: Call, cls: Class) -> Mapping[str, Argument]:
    """The arguments of a config's call by their names."""
    order = list(code.libraries.takes(cls) or ())
    return {**dict(zip(order, call.args, strict=False)), **call.kwargs}
