"""The lines of a script that load and call a pipeline of blocks: diffusers' modular pipelines.

It is loaded by ``load_components`` with a dictionary of configs, one for each component that is
quantized. A script draws from text alone, so that of a processor its tokenizer is enough, which
needs no torchvision.
"""

from __future__ import annotations

from typing import Any

from quantlab.catalog.schema import Model
from quantlab.lab.load.blocks.pipeline import blocks_of
from quantlab.lab.script.script import Script
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan

__all__ = ["call_lines", "load_lines", "text_processor"]


def load_lines(
    script: Script, model: Model, plan: Plan, dtype: str, source: str = "MODEL"
) -> list[str]:
    """The lines that make ``pipe`` of the files in ``source``, an expression."""
    blocks = _blocks(model, plan)
    script.embed(text_processor)
    lines = [
        f"blocks = diffusers.{type(blocks).__name__}()",
        *(f'blocks.sub_blocks.pop("{name}")' for name in _popped(model, blocks)),
        f"pipe = diffusers.{model.pipeline}(",
        "    blocks,",
        f"    pretrained_model_name_or_path={source},",
        *([f'    revision="{model.revision}",'] if model.own and not model.local else []),
        ")",
    ]
    processors = [s.name for s in blocks.expected_components if _is_processor(s)]
    made = [f'    "{name}": text_processor(pipe, "{name}"),' for name in processors]
    made += [f'    "{name}": {name},' for name in script.ready]
    lines += ["made = {", *made, "}"]
    lines += ["quantization_config = {", *script.configs(), "}"] if script.mapping else []
    lines += [
        "pipe.load_components(",
        "    names=[name for name in pipe.pretrained_component_names if name not in made],",
        f"    dtype={dtype},",
    ]
    if script.mapping:
        lines.append("    quantization_config=quantization_config,")
    if script.mapping and script.quantizes_on:
        lines.append(f"    device_map={dict.fromkeys(script.mapping, script.quantizes_on)!r},")
    return [*lines, ")", "pipe.update_components(**made)"]


def call_lines(comparison: Comparison, model: Model, plan: Plan) -> list[str]:
    """The lines that make ``image.png`` with ``pipe``."""
    blocks = _blocks(model, plan)
    inputs = {param.name for param in blocks.inputs}
    given = model.family.arguments(dict(comparison.settings))
    lines = []
    if "guider" in blocks.component_names:
        scale = comparison.guidance if model.guided(comparison.guidance) else 1.0
        guider = f"type(pipe.guider)(guidance_scale={scale!r})"
        lines.append(f"pipe.update_components(guider={guider})")
    return [
        *lines,
        "image = pipe(",
        f"    prompt={comparison.prompt!r},",
        *(f"    {name}={value!r}," for name, value in given.items() if name in inputs),
        f'    generator=torch.Generator("cpu").manual_seed({comparison.seed}),',
        '    output="images",',
        ")[0]",
        'image.save("image.png")',
    ]


def text_processor(pipe: Any, name: str) -> Any:
    """A processor's tokenizer in its place: all that text takes, and it needs no torchvision."""
    import transformers

    spec = pipe.get_component_spec(name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        spec.pretrained_model_name_or_path, subfolder=spec.subfolder or "", revision=spec.revision
    )
    tokenizer.tokenizer = tokenizer
    return tokenizer


def _blocks(model: Model, plan: Plan) -> Any:
    return blocks_of(model.pipeline, {c.name for c in model.components if plan.leaves_out(c.name)})


def _popped(model: Model, blocks: Any) -> list[str]:
    """The blocks that the class has by default and that are left out here."""
    whole = blocks_of(model.pipeline, set()).sub_blocks
    return [name for name in whole if name not in blocks.sub_blocks]


def _is_processor(spec: Any) -> bool:
    return getattr(spec.type_hint, "__name__", "").endswith("Processor") and (
        spec.default_creation_method == "from_pretrained"
    )
