"""Components: of which library they are, and whether the pipeline has them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from quantlab.lab.check.code.values import Items, Made, const
from quantlab.lab.check.finding import Edit
from quantlab.lab.check.forms import config_text, given_to
from quantlab.lab.check.known import class_of
from quantlab.lab.check.mend import add_import, drop, replace
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.uses import Code, Load, Use, config_of

__all__ = ["everything", "ignored_argument", "no_such_component", "wrong_library"]

OVERVIEW = "https://huggingface.co/docs/diffusers/quantization/overview"
FLAGS = ("load_in_8bit", "load_in_4bit")
SOURCE = (
    "https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/pipelines/"
    "pipeline_utils.py"
)


@rule(
    "wrong-library",
    "error",
    why="The two libraries' classes of one name are different classes; a component needs the one "
    "of the library that it comes from: text encoders are transformers', the denoiser and the "
    "VAE are diffusers'.",
    source=OVERVIEW,
    versions={"diffusers": ">=0.34", "transformers": ">=5.0"},
    says=(
        r"`quantization_config` is not a `BitsAndBytesConfig`",
        r"'QuantoConfig' object has no attribute '(weights_dtype|activations)'",
        r"'TorchAoConfig' object has no attribute 'include_input_output_embeddings'",
    ),
)
def wrong_library(code: Code) -> Iterator[Hit]:
    """A config class of the library that the component is not of."""
    for use in code.uses:
        made = class_of(use.config.call.function) if isinstance(use.config, Made) else None
        if made is None or not made.library or not use.library or made.library == use.library:
            continue
        both = all(made.name in code.libraries.configs[n] for n in ("diffusers", "transformers"))
        # Tried with the versions below: diffusers reads of these what it needs.
        harmless = made.name in ("TorchAoConfig", "BitsAndBytesConfig")
        if both and not (harmless and use.library == "diffusers"):
            said = f"{use.component or 'the component'} is of {use.library} and is given "
            what = f"{said}{made.library}.{made.name}: loading it fails."
            yield Hit(use.argument.node, what, _of_own(code, use))


def _of_own(code: Code, use: Use) -> tuple[Edit | None, ...]:
    assert isinstance(use.config, Made)
    call = use.config.call
    cls = class_of(call.function)
    if cls is None or call.more:
        return (None,)
    made = config_text(code, use.library, cls.name, given_to(code, call, cls))
    return (replace(use.argument.node, made[0]), *made[1]) if made is not None else (None,)


@rule(
    "no-such-component",
    "silent",
    why="Names that the pipeline does not have are passed over with a line in the log, and what "
    "they were meant for is loaded unquantized.",
    source="https://github.com/huggingface/diffusers/issues/11750",
    versions={"diffusers": ">=0.34"},
    says=(r"components in the quantization config \{.*\} will be ignored",),
)
def no_such_component(code: Code) -> Iterator[Hit]:
    """A component that the pipeline does not have, in quant_mapping or components_to_quantize."""
    for load in code.loads:
        config, known = config_of(load), code.libraries.components(load.pipeline)
        if config is None or known is None:
            continue
        for use in code.uses:
            if use.load is load and use.component and use.component not in known:
                named = use.argument.named
                node = named if named is not None else use.argument.node
                edits = (_instead(use.component, known, use.argument.named),)
                yield Hit(node, _said(load, use.component), edits)
        listed = config.argument("components_to_quantize", 2)
        values = listed.value.values if listed and isinstance(listed.value, Items) else ()
        for value in values:
            name = const(value)
            if listed is not None and isinstance(name, str) and name not in known:
                yield Hit(listed.node, _said(load, name))


def _said(load: Load, name: str) -> str:
    return f"{load.pipeline} has no component {name}, so nothing is quantized by it."


def _instead(name: str, known: object, node: object) -> Edit | None:
    names = [n for n in known if n in ("transformer", "unet") or n.startswith("text_encoder")]  # type: ignore[attr-defined]
    close = difflib.get_close_matches(name, names, 1, 0.7)
    if not close and name in ("unet", "transformer", "denoiser"):
        close = [n for n in names if n in ("transformer", "unet")]
    return replace(node, f'"{close[0]}"') if close else None  # type: ignore[arg-type]


@rule(
    "load-flag-ignored",
    "silent",
    why="load_in_8bit and load_in_4bit are arguments of a config; pipelines and models of "
    "diffusers drop them, and nothing is quantized.",
    source=SOURCE,
    versions={"diffusers": ">=0.31"},
    says=(r"Keyword arguments \{.*load_in_[48]bit.*\} are not expected by",),
)
def load_flag(code: Code) -> Iterator[Hit]:
    """``from_pretrained(..., load_in_8bit=True)`` of a pipeline or a model of diffusers."""
    for load in code.loads:
        flags = {n: load.call.kwargs[n] for n in FLAGS if n in load.call.kwargs}
        if load.cls.library != "diffusers" and not load.is_pipeline:
            continue
        for name, argument in flags.items():
            edits = _flag_as_config(code, load, name) if const(argument.value) is True else (None,)
            said = f"{load.cls.name}.from_pretrained ignores {name}."
            node = argument.named if argument.named is not None else argument.node
            yield Hit(node, said, edits)


def _flag_as_config(code: Code, load: Load, name: str) -> tuple[Edit | None, ...]:
    argument = load.call.kwargs[name]
    if argument.named is None or len(argument.named._fields) != 2 or not load.call.node.keywords:
        return (None,)
    more = ', bnb_4bit_quant_type="nf4"' if name == FLAGS[1] else ""
    if load.is_pipeline:
        names = ", ".join(f'"{n}"' for n in _worth(code, load))
        kwargs = f'{{"{name}": True' + (', "bnb_4bit_quant_type": "nf4"' if more else "") + "}"
        text = (
            f'PipelineQuantizationConfig(quant_backend="bitsandbytes_{name[8:]}", '
            f"quant_kwargs={kwargs}, components_to_quantize=[{names}])"
        )
        line = "from diffusers.quantizers import PipelineQuantizationConfig"
    else:
        text = f"BitsAndBytesConfig({name}=True{more})"
        line = "from diffusers import BitsAndBytesConfig"
    edit = replace(argument.named, f"quantization_config={text}")
    return (edit, add_import(code.program.tree, line))


def _worth(code: Code, load: Load) -> list[str]:
    known = code.libraries.components(load.pipeline) or {"transformer": "diffusers"}
    denoiser = [n for n in ("transformer", "unet") if n in known]
    encoders = [n for n in known if n.startswith("text_encoder")]
    return denoiser + encoders[-1:]


@rule(
    "load-flag-refused",
    "error",
    why="transformers 5 took load_in_8bit and load_in_4bit out of from_pretrained; they are "
    "arguments of BitsAndBytesConfig.",
    source="https://huggingface.co/docs/transformers/quantization/bitsandbytes",
    versions={"transformers": ">=5.0"},
    says=(r"unexpected keyword argument 'load_in_[48]bit'",),
)
def load_flag_refused(code: Code) -> Iterator[Hit]:
    """The same of a model of transformers."""
    for load in code.loads:
        for name in FLAGS:
            argument = load.call.kwargs.get(name)
            if argument is not None and load.cls.library == "transformers":
                text = f"quantization_config=BitsAndBytesConfig({name}=True)"
                line = add_import(code.program.tree, "from transformers import BitsAndBytesConfig")
                named = argument.named
                edits = (replace(named, text), line) if named is not None else (None,)
                said = f"{load.cls.name}.from_pretrained stops at {name} with a TypeError."
                yield Hit(named if named is not None else argument.node, said, edits)


@rule(
    "argument-ignored",
    "silent",
    why="from_pretrained of a pipeline takes its own arguments and the names of its components; "
    "anything else is passed over with a line in the log.",
    source=SOURCE,
    versions={"diffusers": ">=0.31"},
    says=(r"Keyword arguments \{.*\} are not expected by .* and will be ignored",),
)
def ignored_argument(code: Code) -> Iterator[Hit]:
    """A keyword of a pipeline's ``from_pretrained`` that it does not have."""
    for load in code.loads:
        whole = code.libraries.pipelines.get(load.pipeline)
        if whole is None or load.call.method != "from_pretrained":
            continue
        known = {*whole["components"], *code.libraries.loading["pipeline"], *FLAGS}
        for name, argument in load.call.kwargs.items():
            if name not in known:
                said = f"{load.pipeline}.from_pretrained has no argument {name} and ignores it."
                node = argument.named if argument.named is not None else argument.node
                yield Hit(node, said, (drop(load.call, argument),))


@rule(
    "everything-quantized",
    "note",
    why="Without components_to_quantize the simple form quantizes every component that is a "
    "module, the VAE and small text encoders too, which saves little and costs quality.",
    source="https://github.com/huggingface/diffusers/issues/10327",
    versions={"diffusers": ">=0.34"},
)
def everything(code: Code) -> Iterator[Hit]:
    """The simple form without a list of components."""
    for call in code.pipeline_configs:
        backend = const(call.value("quant_backend", 0))
        listed = call.argument("components_to_quantize", 2)
        plain = isinstance(backend, str) and not code.libraries.simple_form(backend)
        if plain and listed is None and not call.more:
            yield Hit(call.node, "No components are named.")
