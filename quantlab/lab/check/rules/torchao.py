"""torchao: objects where there were strings and functions once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from quantlab.lab.check.code.values import Argument, Ref, const
from quantlab.lab.check.finding import Edit
from quantlab.lab.check.known import class_of, table_of
from quantlab.lab.check.mend import add_import, replace
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.rules.names import REPLACED
from quantlab.lab.check.uses import Code

__all__ = ["intx_bytes", "named_type", "removed_function", "string_type"]

DOCS = "https://huggingface.co/docs/diffusers/quantization/torchao"
QTYPES = {"int8": "qint8", "int4": "qint4", "int2": "qint2", "float8": "qfloat8"}
SUB_BYTE = re.compile(r"torch\.int[1-7]")
VERSIONS = {"diffusers": ">=0.39", "transformers": ">=5.0", "torchao": ">=0.15"}


@rule(
    "torchao-string",
    "error",
    why="Since diffusers 0.39 and transformers 5 TorchAoConfig takes an object of torchao, no "
    "name of one.",
    source=DOCS,
    versions=VERSIONS,
    says=(
        r"quant_type must be an AOBaseConfig instance",
        r"String-based quantization type .* is no longer supported",
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


def _of_type(code: Code, argument: Argument | None, taker: str = "TorchAoConfig") -> Iterator[Hit]:
    text = const(argument.value) if argument is not None else None
    if argument is None or not isinstance(text, str):
        return
    said = f'{taker} stops at "{text}".'
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


@rule(
    "intx-bytes",
    "silent",
    why="Its weights stay unpacked, one byte a number, however few bits weight_dtype has: the "
    "picture gets worse and nothing gets smaller.",
    source="https://github.com/pytorch/ao/blob/v0.18.0/torchao/quantization/quant_api.py",
    versions={"torchao": ">=0.12"},
)
def intx_bytes(code: Code) -> Iterator[Hit]:
    """``IntxWeightOnlyConfig(weight_dtype=torch.int4)``."""
    for call in code.program.calls:
        cls = class_of(call.function)
        if cls is None or (cls.library, cls.name) != ("torchao", "IntxWeightOnlyConfig"):
            continue
        argument = call.argument("weight_dtype", 0)
        asked = argument.value if argument is not None else None
        if argument is not None and isinstance(asked, Ref) and SUB_BYTE.fullmatch(asked.path):
            name = asked.path.rpartition(".")[2]
            yield Hit(argument.node, f"{name} is stored as int8: one byte a number.")


def _named(tree: ast.Module, name: str) -> list[ast.expr | ast.alias]:
    found = (n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name)
    return [n for n in found if class_of(Ref(f"torchao.quantization.{name}")) is not None]


@rule(
    "quantize-by-name",
    "error",
    why="quantize_ of torchao and quantize of quanto take an object, no name of one.",
    source="https://github.com/pytorch/ao/issues/1690",
    versions={"torchao": ">=0.15", "optimum-quanto": ">=0.2"},
    says=(r"Passing a generic Callable to `quantize_` is no longer recommended",),
)
def named_type(code: Code) -> Iterator[Hit]:
    """``quantize_(model, "int8wo")``, ``quantize(model, weights="float8")``."""
    for call in code.program.calls:
        cls = class_of(call.function)
        if cls is None:
            continue
        if (cls.library, cls.name) == ("torchao", "quantize_"):
            yield from _of_type(code, call.argument("config", 1), "quantize_")
        elif call.path == "optimum.quanto.quantize":
            argument = call.argument("weights", 1)
            text = const(argument.value) if argument is not None else None
            if argument is not None and text in QTYPES:
                line = f"from optimum.quanto import {QTYPES[text]}"
                edits = (
                    replace(argument.node, QTYPES[text]),
                    add_import(code.program.tree, line),
                )
                yield Hit(argument.node, f'weights="{text}" stops with a KeyError.', edits)
