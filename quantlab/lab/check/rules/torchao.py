"""torchao: objects where there were strings and functions once."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from quantlab.lab.check.finding import Edit
from quantlab.lab.check.known import class_of, table_of
from quantlab.lab.check.mend import add_import, replace
from quantlab.lab.check.rules.rule import Hit, rule
from quantlab.lab.check.uses import Code
from quantlab.lab.check.values import Argument, Ref, const

__all__ = ["REPLACED", "removed_function", "string_type"]

DOCS = "https://huggingface.co/docs/diffusers/quantization/torchao"
VERSIONS = {"diffusers": ">=0.39", "transformers": ">=5.0", "torchao": ">=0.15"}

_CLASSES = {
    "Int8WeightOnlyConfig": ("int8wo", "int8_weight_only"),
    "Int8DynamicActivationInt8WeightConfig": ("int8dq", "int8_dynamic_activation_int8_weight"),
    "Int4WeightOnlyConfig": ("int4wo", "int4_weight_only"),
    "Float8WeightOnlyConfig": ("float8wo", "float8_weight_only", "float8wo_e4m3", "fp8wo"),
    "Float8DynamicActivationFloat8WeightConfig": (
        "float8dq", "float8_dynamic_activation_float8_weight", "float8dq_e4m3", "fp8dq",
    ),
    "Float8DynamicActivationInt4WeightConfig": ("float8_dynamic_activation_int4_weight",),
    "IntxWeightOnlyConfig": ("intx_weight_only",),
}  # fmt: skip
REPLACED = {name: cls for cls, names in _CLASSES.items() for name in names}
"""What the strings and functions of older versions are called today."""


@rule(
    "torchao-string",
    "error",
    why="Since diffusers 0.39 and transformers 5 TorchAoConfig takes an object of torchao, no "
    "name of one.",
    source=DOCS,
    versions=VERSIONS,
    says=(
        r"quant_type must be an AOBaseConfig instance",
        r"quant_type must be .*AOBaseConfig",
    ),
)
def string_type(code: Code) -> Iterator[Hit]:
    """``TorchAoConfig("int8wo")``, in quant_kwargs too."""
    for call, cls in code.configs:
        if cls.name == "TorchAoConfig":
            yield from _of_type(code, call.argument("quant_type", 0))
    for call in code.pipeline_configs:
        if const(call.value("quant_backend", 0)) == "torchao":
            kwargs = call.value("quant_kwargs", 1)
            entries = getattr(kwargs, "entries", {})
            if "quant_type" in table_of(kwargs):
                yield from _of_type(code, entries["quant_type"])


def _of_type(code: Code, argument: Argument | None) -> Iterator[Hit]:
    text = const(argument.value) if argument is not None else None
    if argument is None or not isinstance(text, str):
        return
    said = f'TorchAoConfig("{text}") stops with a TypeError.'
    cls = REPLACED.get(text)
    if cls is None:
        yield Hit(argument.node, said)
        return
    edits = (
        replace(argument.node, f"{cls}()"),
        add_import(code.program.tree, f"from torchao.quantization import {cls}"),
    )
    yield Hit(argument.node, said, edits)


@rule(
    "torchao-function",
    "error",
    why="torchao removed the functions; a config class took the place of each.",
    source="https://github.com/pytorch/ao/blob/v0.18.0/torchao/quantization/__init__.py",
    versions={"torchao": ">=0.15"},
    says=(r"cannot import name '(int|float)\w+_(weight|weight_only)\w*' from 'torchao",),
)
def removed_function(code: Code) -> Iterator[Hit]:
    """``from torchao.quantization import int8_weight_only``, and its calls."""
    for each in code.program.imports:
        root, _, name = each.path.rpartition(".")
        if root.startswith("torchao.quantization") and name in REPLACED:
            if name in code.libraries.names["torchao"]:
                continue
            edits: list[Edit | None] = [None]
            if each.alias.asname is None:
                nodes = [each.alias, *_named(code.program.tree, name)]
                edits = [replace(node, REPLACED[name]) for node in nodes]
            said = f"torchao.quantization has no {name}: the import fails."
            yield Hit(each.alias, said, tuple(edits))


def _named(tree: ast.Module, name: str) -> list[ast.expr | ast.alias]:
    found = (n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name)
    return [n for n in found if class_of(Ref(f"torchao.quantization.{name}")) is not None]
