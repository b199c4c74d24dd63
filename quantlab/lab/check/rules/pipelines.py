"""Pipelines and their configs: the two forms, and what a pipeline refuses."""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.lab.check.code.values import Argument, Call, Made, Table, Value, const
from quantlab.lab.check.finding import Edit
from quantlab.lab.check.forms import given_to, mapping_text, pipeline_config_import
from quantlab.lab.check.known import class_of
from quantlab.lab.check.mend import replace
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.uses import PIPELINE_CONFIG, Code, Load, config_of

__all__ = ["config_by_place", "config_on_pipeline", "form_refused", "mapping_value", "simple_form"]

OVERVIEW = "https://huggingface.co/docs/diffusers/quantization/overview"
VERSIONS = {"diffusers": ">=0.34"}
NEAREST = {"bitsandbytes": "bitsandbytes_4bit", "bnb": "bitsandbytes_4bit"}


@rule(
    "simple-form-refused",
    "error",
    why="The simple form (quant_backend with quant_kwargs) makes the config of diffusers and the "
    "one of transformers from the same keywords, and refuses backends whose two classes differ; "
    "quant_mapping takes one config for each component.",
    source=OVERVIEW,
    versions=VERSIONS,
    says=(
        r"signatures of the __init__ methods of the quantization config classes",
        r"Provided quant_backend=.* was not found",
    ),
)
def simple_form(code: Code) -> Iterator[Hit]:
    """``quant_backend`` with a backend that only one library has, or both have differently."""
    for call in code.pipeline_configs:
        argument = call.argument("quant_backend", 0)
        backend = const(argument.value) if argument is not None else None
        if argument is None or not isinstance(backend, str):
            continue
        reason = code.libraries.simple_form(backend)
        if not reason:
            continue
        about = "it is not among the backends of both libraries"
        if reason != "not found":
            about = "it has other arguments in diffusers than in transformers"
        said = f'quant_backend="{backend}" stops with a ValueError: {about}.'
        yield Hit(argument.node, said, _as_mapping(code, call, backend))


def _as_mapping(code: Code, call: Call, backend: str) -> tuple[Edit | None, ...]:
    """The same as a mapping, where the code says enough for that."""
    if backend in NEAREST:
        argument = call.argument("quant_backend", 0)
        return (replace(argument.node, f'"{NEAREST[backend]}"'),) if argument else (None,)
    name = code.libraries.backends["diffusers"].get(backend)
    kwargs = call.value("quant_kwargs", 1)
    load = next((each for each in code.loads if config_of(each) is call), None)
    if name is None or not isinstance(kwargs, Table) or not kwargs.whole or backend == "gguf":
        return (None,)
    chosen = {n: code.library_of(n, load) or "diffusers" for n in code.chosen(call, load)}
    made = mapping_text(code, name, kwargs.entries, chosen) if chosen else None
    if made is None:
        return (None,)
    text, imports = made
    return (replace(call.node, f"{PIPELINE_CONFIG}(\n    {text}\n)"), *imports)


@rule(
    "form-refused",
    "error",
    why="PipelineQuantizationConfig takes either quant_backend with quant_kwargs, or quant_mapping "
    "alone.",
    source=OVERVIEW,
    versions=VERSIONS,
    says=(
        r"Both `quant_backend` and `quant_mapping` cannot be specified",
        r"Must provide a `quant_backend` when not providing a `quant_mapping`",
        r"Both `quant_kwargs` and `quant_mapping` cannot be None",
    ),
)
def form_refused(code: Code) -> Iterator[Hit]:
    """Both forms at once, or one without what it needs."""
    for call in code.pipeline_configs:
        if call.more:
            continue
        backend, mapping = call.value("quant_backend", 0), call.value("quant_mapping", 3)
        if backend is not None and mapping is not None:
            yield Hit(call.node, "Both forms are given at once, which stops with a ValueError.")
        elif backend is None and mapping is None:
            yield Hit(call.node, "Neither form is given, which stops with a ValueError.")
        elif backend is not None and _empty(call.value("quant_kwargs", 1)):
            yield Hit(call.node, "quant_kwargs is missing or empty: a ValueError, even where the "
                      "defaults are meant.")  # fmt: skip


def _empty(value: Value | None) -> bool:
    return value is None or (isinstance(value, Table) and value.whole and not value.entries)


@rule(
    "mapping-value",
    "error",
    why="quant_mapping takes config objects of diffusers and transformers, and nothing that goes "
    "into them.",
    source=OVERVIEW,
    versions=VERSIONS,
    says=(r"Provided config for module_name=\w+ could not be found",),
)
def mapping_value(code: Code) -> Iterator[Hit]:
    """A dictionary, or an object of torchao itself, as a component's config."""
    for use in code.uses:
        if not isinstance(use.load, Load | None) or (use.load and not use.load.is_pipeline):
            continue
        cls = class_of(use.config.call.function) if isinstance(use.config, Made) else None
        said = f"{use.component} is given %s, which stops with a ValueError."
        if isinstance(use.config, Table):
            yield Hit(use.argument.node, said % "a dictionary")
        elif cls is not None and cls.library == "torchao" and cls.name.endswith("Config"):
            given = {"quant_type": use.argument}
            made = mapping_text(code, "TorchAoConfig", given, {use.component: use.library})
            edits: tuple[Edit | None, ...] = (None,)
            if made is not None and use.library:
                text, imports = made
                entry = text.partition(": ")[2].rpartition(",\n")[0]
                edits = (replace(use.argument.node, entry), *imports)
            yield Hit(use.argument.node, said % f"an object of torchao, {cls.name}", edits)


@rule(
    "config-on-pipeline",
    "error",
    why="A pipeline takes a PipelineQuantizationConfig, which says which of its components get "
    "which config.",
    source=OVERVIEW,
    versions=VERSIONS,
    says=(r"quantization_config` must be an instance of `PipelineQuantizationConfig`",),
)
def config_on_pipeline(code: Code) -> Iterator[Hit]:
    """A component's config straight on a pipeline."""
    for load in code.loads:
        argument = load.call.argument("quantization_config")
        if not load.is_pipeline or load.call.method != "from_pretrained" or argument is None:
            continue
        cls = class_of(argument.value.call.function) if isinstance(argument.value, Made) else None
        if isinstance(argument.value, Table) or (cls is not None and cls.name != PIPELINE_CONFIG):
            what = cls.name if cls is not None else "dictionary"
            said = f"{load.cls.name}.from_pretrained stops with a ValueError: it is given a {what}."
            yield Hit(argument.node, said, _wrapped(code, load, argument))


@rule(
    "config-by-place",
    "error",
    why="from_pretrained takes the config by its name alone; what comes second by place goes to "
    "the model's constructor.",
    source="https://huggingface.co/docs/transformers/quantization/bitsandbytes",
    versions={"diffusers": ">=0.31", "transformers": ">=5.0"},
    says=(r"takes \d+ positional arguments? but \d+ were given",),
)
def config_by_place(code: Code) -> Iterator[Hit]:
    """``from_pretrained(repo, BitsAndBytesConfig(...))``."""
    for load in code.loads:
        for argument in load.call.args[1:2]:
            cls = (
                class_of(argument.value.call.function) if isinstance(argument.value, Made) else None
            )
            known = cls is not None and any(cls.name in c for c in code.libraries.configs.values())
            if cls is not None and (known or cls.name == PIPELINE_CONFIG):
                before = (argument.node.lineno, argument.node.col_offset)
                edit = Edit(before, before, "quantization_config=")
                yield Hit(argument.node, f"{cls.name} stands in the wrong place.", (edit,))


def _wrapped(code: Code, load: Load, argument: Argument) -> tuple[Edit | None, ...]:
    """The config as that of the denoiser, which is what it was meant for."""
    if not isinstance(argument.value, Made):
        return (None,)
    call = argument.value.call
    cls = class_of(call.function)
    names = code.libraries.components(load.pipeline) or ("transformer",)
    denoiser = next((n for n in ("transformer", "unet") if n in names), None)
    if cls is None or denoiser is None or call.more:
        return (None,)
    made = mapping_text(code, cls.name, given_to(code, call, cls), {denoiser: "diffusers"})
    if made is None:
        return (None,)
    text, imports = made
    return (
        replace(argument.node, f"{PIPELINE_CONFIG}(\n    {text}\n)"),
        *imports,
        pipeline_config_import(code),
    )
