"""The lines of a script that load and call a pipeline of blocks: diffusers' modular pipelines.

It is loaded by ``load_components`` with a dictionary of configs, one for each component that is
quantized. What reads the prompt reads text alone, so that of a processor its tokenizer is enough,
which needs no torchvision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from quantlab.catalog.schema import Model
from quantlab.lab.load.blocks.pipeline import ENCODED, blocks_of
from quantlab.lab.load.stages import decode_alone
from quantlab.lab.references import file_of
from quantlab.lab.script.decoding import decoding_lines
from quantlab.lab.script.script import Script
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan

__all__ = [
    "call_lines",
    "load_lines",
    "placed_lines",
    "reference_lines",
    "release_calls",
    "staged_lines",
    "text_processor",
]


def load_lines(
    script: Script,
    model: Model,
    plan: Plan,
    dtype: str,
    source: str = "MODEL",
    without: Collection[str] = (),
) -> list[str]:
    """The lines that make ``pipe`` of the files in ``source``, an expression.

    Blocks that need a component of ``without`` are left out too.
    """
    blocks = _blocks(model, plan, without)
    script.embed(text_processor)
    processors = [s.name for s in blocks.expected_components if _is_processor(s)]
    made = [f'    "{name}": text_processor(pipe, "{name}"),' for name in processors]
    made += [f'    "{name}": {name},' for name in script.ready]
    lines = [
        f"blocks = diffusers.{type(blocks).__name__}()",
        *(f'blocks.sub_blocks.pop("{name}")' for name in _popped(model, blocks)),
        f"pipe = diffusers.{model.pipeline}(",
        "    blocks,",
        f"    pretrained_model_name_or_path={source},",
        *([f'    revision="{model.revision}",'] if model.own and not model.local else []),
        ")",
        *(["made = {", *made, "}"] if made else ["made = {}"]),
        *(["quantization_config = {", *script.configs(), "}"] if script.mapping else []),
        "pipe.load_components(",
        "    names=[name for name in pipe.pretrained_component_names if name not in made],",
        f"    dtype={dtype},",
    ]
    if script.mapping:
        lines.append("    quantization_config=quantization_config,")
    if script.mapping and script.quantizes_on:
        lines.append(f"    device_map={dict.fromkeys(script.mapping, script.quantizes_on)!r},")
    return [*lines, ")", "pipe.update_components(**made)"]


def placed_lines(placement: str, target: str, options: Mapping[str, object]) -> list[str]:
    """Lines that keep the weights where the placement says; blocks have no method for offload."""
    modules = "[part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]"
    if placement == "model-offload":
        return [
            "manager = diffusers.ComponentsManager()",
            f"for index, part in enumerate({modules}):",
            '    manager.add(f"part_{index}", part)',
            "# One component at a time: all others go when one comes.",
            "manager.enable_auto_cpu_offload(",
            f'    device="{target}", offload_strategy=lambda hooks, **_: hooks',
            ")",
        ]
    if placement == "group-offload":
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        return [
            f"for part in {modules}:",
            "    diffusers.hooks.apply_group_offloading(",
            f'        part, onload_device=torch.device("{target}"){given}',
            "    )",
        ]
    return [f'pipe.to("{target}")']


def call_lines(comparison: Comparison, model: Model, plan: Plan, encoded: str = "") -> list[str]:
    """The lines that make ``image.png`` with ``pipe``; ``encoded`` holds the prompt's embeddings,
    if they are there already."""
    blocks = _blocks(model, plan, model.family.encoders if encoded else ())
    lines = []
    if "guider" in blocks.component_names:
        scale = comparison.guidance if model.guided(comparison.guidance) else 1.0
        guider = f"type(pipe.guider)(guidance_scale={scale!r})"
        lines.append(f"pipe.update_components(guider={guider})")
    return [
        *decoding_lines(comparison, model),
        *lines,
        "image = pipe(",
        f"    **{encoded}," if encoded else f"    prompt={comparison.prompt!r},",
        *_given(comparison, model, blocks),
        *([f"    {model.family.reference}=references,"] if comparison.references else []),
        f'    generator=torch.Generator("cpu").manual_seed({comparison.seed}),',
        '    output="images",',
        ")[0]",
        'image.save("image.png")',
    ]


def reference_lines(comparison: Comparison) -> list[str]:
    """Lines that read the pictures to go by, if there are any."""
    if not comparison.references:
        return []
    names = [file_of(digest).name for digest in comparison.references]
    return [
        "# The pictures to go by, as compare --out leaves them, lie beside this script.",
        f"references = [diffusers.utils.load_image(name) for name in {names}]",
    ]


def release_calls(target: str) -> list[str]:
    """Calls that give back, on torch's device ``target``, what is not held any more."""
    return ["gc.collect()", *([] if target == "cpu" else [f"torch.{target}.empty_cache()"])]


def staged_lines(
    reading: Script,
    drawing: Script,
    comparison: Comparison,
    plan: Plan,
    model: Model,
    dtype: str,
    target: str,
) -> list[str]:
    """Encode, let go of the text encoders, denoise, let go of the denoiser, decode."""
    family = model.family
    drawers = (*family.denoisers, family.decoder)
    blocks = _blocks(model, plan, drawers)
    guided = model.guided(comparison.guidance)
    reading.modules.add("gc")
    drawing.embed(decode_alone)
    release = release_calls(target)
    return [
        "# What writes and reads the prompt: gone before anything else is read.",
        *reading.before,
        *load_lines(reading, model, plan, dtype, without=drawers),
        *reading.after,
        *([f'pipe.to("{target}")'] if target != "cpu" else []),
        "found = pipe(",
        f"    prompt={comparison.prompt!r},",
        *(["    negative_prompt='',"] if guided and not comparison.get("negative_prompt") else []),
        *_given(comparison, model, blocks),
        ")",
        f"encoded = {{n: found.get(n) for n in {ENCODED[1:]!r} if found.get(n) is not None}}",
        "del pipe, made, found",
        *release,
        "",
        "# What draws; it is gone before the image is decoded.",
        *reference_lines(comparison),
        *drawing.before,
        *load_lines(drawing, model, plan, dtype, without=family.encoders),
        *drawing.after,
        *([f'pipe.to("{target}")'] if target != "cpu" else []),
        "del made",
        f"decode_alone(pipe, {family.decoder!r}, {list(family.denoisers)!r}, "
        f"lambda: ({', '.join(release)}))",
        *call_lines(comparison, model, plan, "encoded"),
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


def _given(comparison: Comparison, model: Model, blocks: Any) -> list[str]:
    """The settings that ``blocks`` take, as arguments."""
    inputs = {param.name for param in blocks.inputs}
    settings = dict(comparison.settings)
    given = model.family.arguments(settings)
    if model.guided(comparison.guidance) and "negative_prompt" in settings:
        given["negative_prompt"] = settings["negative_prompt"]
    return [f"    {name}={value!r}," for name, value in given.items() if name in inputs]


def _blocks(model: Model, plan: Plan, without: Collection[str] = ()) -> Any:
    left_out = {c.name for c in model.components if plan.leaves_out(c.name)} | set(model.absent)
    return blocks_of(model.pipeline, left_out | set(without))


def _popped(model: Model, blocks: Any) -> list[str]:
    """The blocks that the class has by default and that are left out here."""
    whole = blocks_of(model.pipeline, set()).sub_blocks
    return [name for name in whole if name not in blocks.sub_blocks]


def _is_processor(spec: Any) -> bool:
    return getattr(spec.type_hint, "__name__", "").endswith("Processor") and (
        spec.default_creation_method == "from_pretrained"
    )
