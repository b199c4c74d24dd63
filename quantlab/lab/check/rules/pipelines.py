"""Pipelines and their configs: what they refuse, and what they do not look at."""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.lab.check.known import class_of
from quantlab.lab.check.rules.rule import Hit, rule
from quantlab.lab.check.uses import PIPELINE_CONFIG, Code
from quantlab.lab.check.values import Made, Table, const

__all__ = ["config_on_pipeline", "simple_form", "wrong_library"]

OVERVIEW = "https://huggingface.co/docs/diffusers/quantization/overview"


@rule(
    "simple-form-refused",
    "error",
    why="The simple form (quant_backend with quant_kwargs) makes the config of diffusers and the "
    "one of transformers from the same keywords, and refuses backends whose two classes differ; "
    "quant_mapping takes one config for each component.",
    source=OVERVIEW,
    versions={"diffusers": ">=0.34"},
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
        if reason := code.libraries.simple_form(backend):
            about = (
                "is not among the backends of both libraries"
                if reason == "not found"
                else ("has other arguments in diffusers than in transformers")
            )
            yield Hit(
                argument.node, f'quant_backend="{backend}" stops with a ValueError: it {about}.'
            )


@rule(
    "config-on-pipeline",
    "error",
    why="A pipeline takes a PipelineQuantizationConfig, which says which of its components get "
    "which config.",
    source=OVERVIEW,
    versions={"diffusers": ">=0.34"},
    says=(r"quantization_config` must be an instance of `PipelineQuantizationConfig`",),
)
def config_on_pipeline(code: Code) -> Iterator[Hit]:
    """A component's config straight on a pipeline."""
    for load in code.loads:
        argument = load.call.argument("quantization_config")
        if not load.is_pipeline or load.call.method != "from_pretrained" or argument is None:
            continue
        name = _made(argument.value)
        if isinstance(argument.value, Table) or (name and name != PIPELINE_CONFIG):
            said = f"{load.cls.name}.from_pretrained stops with a ValueError: it is given a "
            yield Hit(argument.node, f"{said}{name or 'dictionary'}.")


@rule(
    "wrong-library",
    "error",
    why="The two libraries' classes of one name are different classes; a component needs the one "
    "of the library that it comes from: text encoders are transformers', the denoiser and the "
    "VAE are diffusers'.",
    source=OVERVIEW,
    versions={"diffusers": ">=0.34", "transformers": ">=5.0"},
    says=(
        r"not a BitsAndBytesConfig",
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
        harmless = made.name == "TorchAoConfig" and use.library == "diffusers"
        if both and not harmless:
            said = f"{use.component or 'the component'} is of {use.library} and is given "
            yield Hit(use.argument.node, f"{said}{made.library}.{made.name}: loading it fails.")


def _made(value: object) -> str:
    cls = class_of(value.call.function) if isinstance(value, Made) else None
    return cls.name if cls is not None else ""
