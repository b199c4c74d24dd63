"""Names of modules that are to be left out."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator

from quantlab.catalog.sizes.shapes import component_shapes
from quantlab.lab.check.code.values import Argument, Made
from quantlab.lab.check.mend import replace
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.uses import Code, Use, texts

__all__ = ["no_such_module"]

SKIPS = ("modules_to_not_convert", "llm_int8_skip_modules")
PATTERN = frozenset("*[](){}|\\^$+?")
"""Characters of names that are patterns; what these match is not told here."""


@rule(
    "no-such-module",
    "silent",
    why="Names of modules to leave out are compared with the component's own; one that is not "
    "among them is passed over without a word.",
    source="https://huggingface.co/docs/diffusers/quantization/torchao",
    versions={"diffusers": ">=0.33", "transformers": ">=4.40"},
)
def no_such_module(code: Code) -> Iterator[Hit]:
    """A name in ``modules_to_not_convert`` that no module of the component has."""
    for use in code.uses:
        known = _modules(use)
        if not known or not isinstance(use.config, Made):
            continue
        for name in SKIPS:
            argument = use.config.call.argument(name)
            for text in (texts(argument.value) if argument is not None else None) or ():
                if text and not PATTERN & set(text) and not any(text in each for each in known):
                    assert argument is not None
                    yield _hit(use, argument, text, known)


def _modules(use: Use) -> frozenset[str]:
    """The dotted names of a component's modules with weights; none where it is not known."""
    model = use.load.model if use.load is not None else None
    if model is None or use.load is None:
        return frozenset()
    name = use.component
    if not name:  # loaded by itself: the catalogue's component of that class
        alike = [part.name for part in model.components if part.cls == use.load.cls.name]
        name = alike[0] if len(alike) == 1 else ""
    if model.component(name) is None:
        return frozenset()
    return frozenset(module.name for module in component_shapes(model, name))


def _hit(use: Use, argument: Argument, text: str, known: frozenset[str]) -> Hit:
    parts = sorted({part for each in known for part in (each, *each.split("."))})
    close = difflib.get_close_matches(text, parts, 1, 0.75)
    written = next(
        (
            node
            for node in ast.walk(argument.node)
            if isinstance(node, ast.Constant) and node.value == text
        ),
        None,
    )
    fix = replace(written, f'"{close[0]}"') if close and written is not None else None
    where = use.component or "the model"
    return Hit(
        written or argument.node,
        f'No module of {where} is called "{text}": nothing more is left out.',
        (fix,),
    )
