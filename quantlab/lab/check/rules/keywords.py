"""Arguments of config classes: those that are swallowed, refused, contradictory or left out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

from quantlab.lab.check.code.values import Argument, Call, Table, Value, const
from quantlab.lab.check.known import Class, class_of, table_of
from quantlab.lab.check.mend import add_argument, drop, rename, replace
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.uses import PIPELINE_CONFIG, Code

__all__ = [
    "bits_missing",
    "bits_twice",
    "fp32_compute",
    "ignored_keyword",
    "refused_keyword",
    "refused_value",
]

CONFIGS = (
    "https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/quantizers/"
    "quantization_config.py"
)
MEANT = {
    "weights": "weights_dtype",
    "weights_dtype": "weights",
    "compute_dtype": "bnb_4bit_compute_dtype",
    "torch_dtype": "bnb_4bit_compute_dtype",
    "quant_type": "bnb_4bit_quant_type",
    "use_double_quant": "bnb_4bit_use_double_quant",
    "double_quant": "bnb_4bit_use_double_quant",
    "quant_storage": "bnb_4bit_quant_storage",
    "bits": "nbits",
    "nbits": "bits",
    "skip_modules": "llm_int8_skip_modules",
    "modules_to_not_convert": "llm_int8_skip_modules",
    "components": "components_to_quantize",
    "dtype": "compute_dtype",
}
"""What is written for another class, or for none, and what it is called elsewhere."""
INTERNAL = ("quant_method", "_load_in_4bit", "_load_in_8bit")
"""Keys of a saved config, which every class accepts."""


@rule(
    "keyword-ignored",
    "silent",
    why="Config classes accept any keyword and leave alone what they do not know; some log a line "
    "that is easily missed.",
    source=CONFIGS,
    versions={"diffusers": ">=0.31", "transformers": ">=4.40"},
    says=(r"Unused kwargs: \[",),
)
def ignored_keyword(code: Code) -> Iterator[Hit]:
    """A keyword that the class does not have: mistyped, or of the other library's class."""
    for call, cls in code.configs:
        yield from _unknown(code, cls, call, call.kwargs, swallowed=True)
    for call in code.pipeline_configs:
        name = code.libraries.backends["diffusers"].get(str(const(call.value("quant_backend", 0))))
        kwargs = call.value("quant_kwargs", 1)
        if name is not None and isinstance(kwargs, Table):
            cls = Class("diffusers", name)
            yield from _unknown(code, cls, None, kwargs.entries, swallowed=True)


@rule(
    "keyword-refused",
    "error",
    why="The class has no such argument.",
    source=CONFIGS,
    versions={"diffusers": ">=0.34", "transformers": ">=5.0"},
    says=(r"(\w+Config)\.__init__\(\) got an unexpected keyword argument",),
)
def refused_keyword(code: Code) -> Iterator[Hit]:
    """A keyword that a config class refuses."""
    for call, cls in code.configs:
        yield from _unknown(code, cls, call, call.kwargs, swallowed=False)
    yield from _torchao(code)
    taken = ("quant_backend", "quant_kwargs", "components_to_quantize", "quant_mapping")
    for call in code.pipeline_configs:
        for name, argument in call.kwargs.items():
            if name not in taken:
                meant = _meant(name, set(taken) - set(call.kwargs))
                edit = rename(argument, meant) if meant else None
                said = f"{PIPELINE_CONFIG} has no {name}: a TypeError."
                yield Hit(argument.named or argument.node, said, (edit,))


def _torchao(code: Code) -> Iterator[Hit]:
    """The same of torchao's own classes."""
    for call in code.program.calls:
        cls = class_of(call.function)
        known = code.libraries.torchao.get(cls.name) if cls is not None else None
        if cls is None or cls.library != "torchao" or known is None:
            continue
        for name, argument in call.kwargs.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, 1, 0.75)
                close = close or [each for each in known if each == MEANT.get(name)]
                edit = rename(argument, close[0]) if close else drop(call, argument)
                said = f"{cls.name} of torchao has no {name}: a TypeError."
                yield Hit(argument.named or argument.node, said, (edit,))


def _unknown(
    code: Code, cls: Class, call: Call | None, given: Mapping[str, Argument], *, swallowed: bool
) -> Iterator[Hit]:
    """Keywords that are not among those of the class, of all its homes where it has several."""
    homes = [cls.library] if cls.library else ["diffusers", "transformers"]
    known = [code.libraries.takes(Class(home, cls.name)) for home in homes]
    configs = [code.libraries.configs[home].get(cls.name, {}) for home in homes]
    if None in known or any(config["swallows"] != swallowed for config in configs):
        return
    taken = set().union(*(each or () for each in known))
    for name, argument in given.items():
        if name in taken or name in INTERNAL:
            continue
        meant = _meant(name, taken - set(given))
        edit = rename(argument, meant) if meant else drop(call, argument) if call else None
        effect = (
            f"and ignores it: {_effect(name, known[0] or {})}."
            if swallowed
            else ("and stops with a TypeError.")
        )
        called = f"{cls.library}.{cls.name}" if cls.library else cls.name
        node = argument.named if argument.named is not None else argument.node
        yield Hit(node, f"{called} has no {name} {effect}", (edit,))


def _meant(name: str, taken: Iterable[str]) -> str | None:
    """What is meant by a name that is not taken."""
    known = sorted(taken)
    if MEANT.get(name) in known:
        return MEANT[name]
    close = difflib.get_close_matches(name, known, 1, 0.75)
    return close[0] if close else None


def _effect(name: str, defaults: Mapping[str, object]) -> str:
    meant = _meant(name, defaults)
    if meant is None:
        return "nothing changes"
    if meant == "bnb_4bit_compute_dtype":
        return "it computes in fp32"
    default = defaults[meant]
    return f"{meant} stays {default}" if default is not None else f"{meant} stays at its default"


@rule(
    "value-refused",
    "error",
    why="The class knows its types by name and no other.",
    source=CONFIGS,
    versions={"diffusers": ">=0.34", "transformers": ">=5.0"},
    says=(
        r"Only support weights in \[.*\] but found",
        r"module 'torch' has no attribute '(bf16|fp16|fp32|float8)'",
        r"We don't support quantizing the activations with transformers library",
    ),
)
def refused_value(code: Code) -> Iterator[Hit]:
    """A type that the class does not know, such as ``fp8`` for ``float8``."""
    for call, cls in code.configs:
        for name, argument in call.kwargs.items():
            text = const(argument.value)
            if not isinstance(text, str):
                continue
            if name == "activations" and cls.name == "QuantoConfig":
                said = "transformers' QuantoConfig refuses activations: a ValueError."
                yield Hit(argument.named or argument.node, said, (drop(call, argument),))
            elif name.endswith("compute_dtype") and text in DTYPES:
                said = f'torch has no dtype "{text}": an AttributeError.'
                yield Hit(argument.node, said, (replace(argument.node, f'"{DTYPES[text]}"'),))
            elif cls.name == "QuantoConfig" and name in ("weights", "weights_dtype"):
                known = _values(code, name)
                if text not in known:
                    meant = MEANT_TYPES.get(text)
                    said = f'"{text}" is none of {", ".join(sorted(known))}: a ValueError.'
                    edit = replace(argument.node, f'"{meant}"') if meant in known else None
                    yield Hit(argument.node, said, (edit,))


DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
MEANT_TYPES = {"fp8": "float8", "float8_e4m3fn": "float8", "qfloat8": "float8", "qint8": "int8",
               "qint4": "int4", "8bit": "int8", "4bit": "int4"}  # fmt: skip


def _values(code: Code, name: str) -> set[str]:
    """What the catalogue's schemes give for an argument of quanto's configs."""
    specs = [
        spec
        for scheme in code.catalog.schemes.values()
        for spec in (scheme.diffusers, scheme.transformers)
        if spec is not None and spec.path.endswith(".QuantoConfig")
    ]
    return {str(spec.args[name]) for spec in specs if name in spec.args}


@rule(
    "bits-twice",
    "error",
    why="A BitsAndBytesConfig is of 4 bits or of 8.",
    source=CONFIGS,
    versions={"diffusers": ">=0.31", "transformers": ">=4.30"},
    says=(r"load_in_4bit and load_in_8bit are both True",),
)
def bits_twice(code: Code) -> Iterator[Hit]:
    """Both flags of bitsandbytes at once."""
    for call, given in _of_bitsandbytes(code):
        if const(given.get("load_in_4bit")) is True and const(given.get("load_in_8bit")) is True:
            yield Hit(call.node, "load_in_4bit and load_in_8bit are both set: a ValueError.")


@rule(
    "fp32-compute",
    "warning",
    why="Without bnb_4bit_compute_dtype bitsandbytes computes in fp32, slower and with more memory "
    "than in the dtype of the rest.",
    source="https://huggingface.co/docs/transformers/quantization/bitsandbytes#compute-data-type",
    versions={"bitsandbytes": ">=0.43", "diffusers": ">=0.31", "transformers": ">=4.30"},
)
def fp32_compute(code: Code) -> Iterator[Hit]:
    """4 bits without a compute dtype."""
    for call, given in _of_bitsandbytes(code):
        mistyped = any(MEANT.get(name) == "bnb_4bit_compute_dtype" for name in given)
        if const(given.get("load_in_4bit")) is not True or "bnb_4bit_compute_dtype" in given:
            continue
        if not mistyped and not call.more and const(given.get("load_in_8bit")) is not True:
            kind = given.get("bnb_4bit_quant_type")
            also = "" if kind is not None else " The type is fp4, the default, not nf4."
            simple = class_of(call.function) is None or call in code.pipeline_configs
            text = 'bnb_4bit_compute_dtype="bfloat16"'
            edit = None if simple else add_argument(call, text)
            yield Hit(call.node, f"4-bit weights without a compute dtype.{also}", (edit,))


def _of_bitsandbytes(code: Code) -> Iterator[tuple[Call, Mapping[str, Value]]]:
    for call, cls in code.configs:
        if cls.name == "BitsAndBytesConfig":
            yield call, {name: each.value for name, each in call.kwargs.items()}
    for call in code.pipeline_configs:
        backend = const(call.value("quant_backend", 0))
        if isinstance(backend, str) and backend.startswith("bitsandbytes"):
            yield call, table_of(call.value("quant_kwargs", 1))


@rule(
    "bits-differ",
    "silent",
    why="The flag in quant_kwargs decides, not the name of the backend.",
    source=CONFIGS,
    versions={"diffusers": ">=0.34"},
)
def bits_differ(code: Code) -> Iterator[Hit]:
    """``bitsandbytes_4bit`` with ``load_in_8bit``, and the other way round."""
    for call in code.pipeline_configs:
        argument = call.argument("quant_backend", 0)
        backend = const(argument.value) if argument is not None else None
        given = table_of(call.value("quant_kwargs", 1))
        for mine, other in (("4bit", "8bit"), ("8bit", "4bit")):
            flag = const(given.get(f"load_in_{other}")) is True
            if argument is not None and backend == f"bitsandbytes_{mine}" and flag:
                said = f"The backend says {mine} and load_in_{other} is set: it becomes {other}."
                edit = replace(argument.node, f'"bitsandbytes_{other}"')
                yield Hit(argument.node, said, (edit,))


@rule(
    "bits-missing",
    "silent",
    why="Where neither load_in_8bit nor load_in_4bit is set, transformers loads in 4 bits (fp4), "
    "whatever the other arguments are about.",
    source="https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/quantizers/"
    "auto.py",
    versions={"transformers": ">=4.40", "diffusers": ">=0.31"},
)
def bits_missing(code: Code) -> Iterator[Hit]:
    """``BitsAndBytesConfig(llm_int8_threshold=10.0)`` and the like."""
    for call, cls in code.configs:
        if cls.name != "BitsAndBytesConfig" or call.more or call.args or not call.kwargs:
            continue
        if not any(name.endswith(("load_in_8bit", "load_in_4bit")) for name in call.kwargs):
            bits = "8bit" if any(name.startswith("llm_int8") for name in call.kwargs) else "4bit"
            edit = add_argument(call, f"load_in_{bits}=True")
            yield Hit(call.node, "Neither 8 nor 4 bits are asked for.", (edit,))
