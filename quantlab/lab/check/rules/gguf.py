"""GGUF: a file for a model class, never a config for a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.lab.check.code.values import Made
from quantlab.lab.check.known import class_of
from quantlab.lab.check.mend import add_argument, add_import
from quantlab.lab.check.rule import Hit, rule
from quantlab.lab.check.uses import Code

__all__ = ["config_without_file", "file_on_pipeline", "file_without_config"]

DOCS = "https://huggingface.co/docs/diffusers/quantization/gguf"
CONFIG = "GGUFQuantizationConfig"


@rule(
    "gguf-config-without-file",
    "error",
    why="GGUF does not quantize while loading: a ready .gguf file is loaded with from_single_file "
    "of the model's class and then put into the pipeline.",
    source=DOCS,
    versions={"diffusers": ">=0.34"},
    says=(r"Object of type dtype is not JSON serializable",),
)
def config_without_file(code: Code) -> Iterator[Hit]:
    """The config in a mapping, or in ``from_pretrained`` of a model."""
    for use in code.uses:
        cls = class_of(use.config.call.function) if isinstance(use.config, Made) else None
        loads = use.load is None or use.load.call.method == "from_pretrained"
        if cls is not None and cls.name == CONFIG and loads:
            where = use.component or "the model"
            yield Hit(use.argument.node, f"{where} is loaded from plain weights with {CONFIG}.")


@rule(
    "gguf-on-pipeline",
    "error",
    why="GGUF files hold the denoiser alone, and pipelines do not read them: load it with "
    "from_single_file of its class and hand it to from_pretrained of the pipeline.",
    source=DOCS,
    versions={"diffusers": ">=0.32"},
)
def file_on_pipeline(code: Code) -> Iterator[Hit]:
    """``FluxPipeline.from_single_file("x.gguf")``, or a .gguf file in ``from_pretrained``."""
    for load in code.loads:
        if load.is_pipeline and load.repo.lower().endswith(".gguf"):
            yield Hit(load.call.node, f"{load.cls.name} is given a GGUF file.")


@rule(
    "gguf-without-config",
    "error",
    why="from_single_file reads a GGUF file's blocks only with a GGUFQuantizationConfig.",
    source=DOCS,
    versions={"diffusers": ">=0.32"},
)
def file_without_config(code: Code) -> Iterator[Hit]:
    """A GGUF file without its config."""
    for load in code.loads:
        call = load.call
        named = call.method == "from_single_file" and load.repo.lower().endswith(".gguf")
        bare = "quantization_config" not in call.kwargs and not call.more
        if named and bare and not load.is_pipeline and load.cls.library == "diffusers":
            edits = (
                add_argument(call, f"quantization_config={CONFIG}(compute_dtype=torch.bfloat16)"),
                add_import(code.program.tree, f"from diffusers import {CONFIG}"),
                add_import(code.program.tree, "import torch"),
            )
            yield Hit(call.node, "The file is loaded without a config.", edits)
