"""Arguments that a config class swallows without using them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from quantlab.lab.check.known import Class
from quantlab.lab.check.mend import drop, rename
from quantlab.lab.check.rules.rule import Hit, rule
from quantlab.lab.check.uses import Code
from quantlab.lab.check.values import Argument, Call, Table, const

__all__ = ["ignored_keyword"]

MEANT = {
    "weights": "weights_dtype",
    "weights_dtype": "weights",
    "compute_dtype": "bnb_4bit_compute_dtype",
    "quant_type": "bnb_4bit_quant_type",
    "use_double_quant": "bnb_4bit_use_double_quant",
    "double_quant": "bnb_4bit_use_double_quant",
    "quant_storage": "bnb_4bit_quant_storage",
    "bits": "nbits",
    "nbits": "bits",
    "skip_modules": "llm_int8_skip_modules",
    "modules_to_not_convert": "llm_int8_skip_modules",
}
"""What is written for another class, or for none, and what it is called elsewhere."""
INTERNAL = ("quant_method", "_load_in_4bit", "_load_in_8bit")
"""Keys of a saved config, which every class accepts."""


@rule(
    "keyword-ignored",
    "silent",
    why="Config classes accept any keyword and leave alone what they do not know; some log a line "
    "that is easily missed.",
    source="https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/quantizers/"
    "quantization_config.py",
    versions={"diffusers": ">=0.31", "transformers": ">=4.40"},
    says=(r"Unused kwargs: \[",),
)
def ignored_keyword(code: Code) -> Iterator[Hit]:
    """A keyword that the class does not have: mistyped, or of the other library's class."""
    for call, cls in code.configs:
        if cls.name != "TorchAoConfig":
            yield from _of_class(code, cls, call, call.kwargs)
    for call in code.pipeline_configs:
        name = code.libraries.backends["diffusers"].get(str(const(call.value("quant_backend", 0))))
        kwargs = call.value("quant_kwargs", 1)
        if name is not None and isinstance(kwargs, Table):
            yield from _of_class(code, Class("diffusers", name), None, kwargs.entries)


def _of_class(
    code: Code, cls: Class, call: Call | None, given: dict[str, Argument] | object
) -> Iterator[Hit]:
    homes = [cls.library] if cls.library else ["diffusers", "transformers"]
    known = [code.libraries.takes(Class(home, cls.name)) for home in homes]
    swallows = [
        bool(code.libraries.configs[home].get(cls.name, {}).get("swallows")) for home in homes
    ]
    if None in known or not all(swallows) or not isinstance(given, dict):
        return
    taken = set().union(*(each or () for each in known))
    for name, argument in given.items():
        if name in taken or name in INTERNAL:
            continue
        meant = _meant(name, taken - set(given))
        edit = rename(argument, meant) if meant else drop(call, argument) if call else None
        yield Hit(
            argument.named if argument.named is not None else argument.node,
            f"{_said(cls)} has no {name} and ignores it: {_effect(name, known[0] or {})}.",
            (edit,),
        )


def _said(cls: Class) -> str:
    return f"{cls.library}.{cls.name}" if cls.library else cls.name


def _meant(name: str, taken: Iterable[str]) -> str | None:
    """What is meant by a name that is not taken."""
    known = sorted(taken)
    if MEANT.get(name) in known:
        return MEANT[name]
    close = difflib.get_close_matches(name, known, 1, 0.75)
    return close[0] if close else None


def _effect(name: str, defaults: object) -> str:
    meant = _meant(name, defaults if isinstance(defaults, dict) else ())
    if meant is None or not isinstance(defaults, dict):
        return "nothing changes"
    if meant == "bnb_4bit_compute_dtype":
        return "it computes in fp32"
    default = defaults[meant]
    return f"{meant} stays {default}" if default is not None else f"{meant} stays at its default"
