"""The lines of a script that read a pipeline, place it and make the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quantlab.catalog.schema import Model
from quantlab.lab.libraries import resolve
from quantlab.lab.load.stages import config_alone, decode_alone, encode_again
from quantlab.lab.script import blocks
from quantlab.lab.script.decoding import decoding_lines
from quantlab.lab.script.script import Script
from quantlab.lab.specs import PIPELINE_CONFIG
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan

__all__ = ["pipe_call", "pipe_lines", "placed_lines", "staged_lines"]


def pipe_lines(
    script: Script, model: Model, plan: Plan, dtype: str, without: Sequence[str] = ()
) -> list[str]:
    """Lines that read the pipeline as ``pipe``, ``without`` some components, and without what the
    plan leaves out."""
    if model.family.modular:
        return [*script.before, *blocks.load_lines(script, model, plan, dtype), *script.after]
    arguments = [f"    {name}={name}," for name in script.ready]
    left_out = (c.name for c in model.components if plan.leaves_out(c.name))
    absent = dict.fromkeys((*script.late, *without, *left_out))
    arguments += [f"    {name}=None," for name in absent]
    lines = list(script.before)
    config = script.config
    if script.mapping:
        mapping = "\n".join(f"    {line}" for line in script.configs())
        config = f"{PIPELINE_CONFIG}(\n    quant_mapping={{\n{mapping}\n    }}\n)"
    if config:
        script.modules.add("diffusers.quantizers")
        lines.append(f"quantization_config = {config}")
        arguments.append("    quantization_config=quantization_config,")
    if script.quantizes_on:
        arguments.append(f'    device_map="{script.quantizes_on}",')
    lines += ["pipe = diffusers.DiffusionPipeline.from_pretrained(", "    MODEL,"]
    if model.own and not model.local:
        lines.append(f'    revision="{model.revision}",')
    return [*lines, *arguments, f"    dtype={dtype},", ")", *script.after]


def placed_lines(
    model: Model, placement: str, target: str, options: Mapping[str, object]
) -> list[str]:
    """Lines that keep the weights where the placement says; ``options`` of group offload."""
    if target == "cpu":
        return []
    if model.family.modular:
        return blocks.placed_lines(placement, target, options)
    if placement == "model-offload":
        return [f'pipe.enable_model_cpu_offload(device="{target}")']
    if placement == "group-offload":
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        return [f'pipe.enable_group_offload(onload_device=torch.device("{target}"){given})']
    return [f'pipe.to("{target}")']


def pipe_call(comparison: Comparison, plan: Plan, model: Model, encoded: str = "") -> list[str]:
    """The lines that make ``image.png`` with a pipeline of ``model`` that is called ``pipe``;
    ``encoded`` is what holds the prompt's embeddings, if they are there already. Pictures to go by
    are called ``references``."""
    family = model.family
    if family.modular:
        return blocks.call_lines(comparison, model, plan, encoded)
    settings = dict(comparison.settings)
    given = {name: repr(value) for name, value in family.arguments(settings).items()}
    guided = model.guided(comparison.guidance)
    twice = family.true_guided(settings) or (guided and family.needs_negative)
    if not encoded and (twice or (guided and "negative_prompt" in settings)):
        given["negative_prompt"] = repr(settings.get("negative_prompt", ""))
    if comparison.references:
        given[str(family.reference)] = "references"
    return [
        *decoding_lines(comparison, model),
        "image = pipe(",
        f"    **{encoded}," if encoded else f"    prompt={comparison.prompt!r},",
        *(f"    {name}={value}," for name, value in given.items()),
        f'    generator=torch.Generator("cpu").manual_seed({comparison.seed}),',
        f").{family.picture}",
        'image.save("image.png")',
    ]


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
    if model.family.modular:
        return blocks.staged_lines(reading, drawing, comparison, plan, model, dtype, target)
    family = model.family
    drawers = (*family.denoisers, family.decoder)
    encoders = [c.name for c in model.components if c.name not in drawers]
    drawing.embed(decode_alone)
    drawing.modules.add("gc")
    release = blocks.release_calls(target)
    again = family.replayed and bool(comparison.references)
    if again:
        drawing.embed(encode_again)
    return [
        "# The text encoders: they are gone before anything else is read.",
        *pipe_lines(reading, model, plan, dtype, drawers),
        *placed_lines(model, "resident", target, {}),
        *_config_lines(reading, plan, model),
        *blocks.reference_lines(comparison),
        *_encode_lines(reading, comparison, model),
        "del pipe",
        *release,
        "",
        "# What draws; it is gone before the image is decoded.",
        *pipe_lines(drawing, model, plan, dtype, encoders),
        *placed_lines(model, "resident", target, {}),
        f"decode_alone(pipe, {family.decoder!r}, {list(family.denoisers)!r}, "
        f"lambda: ({', '.join(release)}))",
        *(["encode_again(pipe, *given)"] if again else []),
        *pipe_call(comparison, plan, model, "" if again else "encoded"),
    ]


def _config_lines(reading: Script, plan: Plan, model: Model) -> list[str]:
    """Lines that let ``encode_prompt`` ask what it would ask of a denoiser that is not read yet."""
    here = [c.name for c in model.components if not plan.leaves_out(c.name)]
    lines = []
    for part in map(model.component, model.family.asked_without(here)):
        assert part is not None
        reading.embed(config_alone)
        more = f", subfolder={part.name!r}"
        if model.own and not model.local:
            more += f", revision={model.revision!r}"
        lines.append(f"config_alone(pipe, {part.name!r}, diffusers.{part.cls}, MODEL{more})")
    return lines


def _encode_lines(reading: Script, comparison: Comparison, model: Model) -> list[str]:
    """``encoded``: what ``encode_prompt`` gives, by the names under which the call takes it; or
    ``given``, as it gives it, where it is to be given again. Pictures are ``references``."""
    family, cls = model.family, resolve(f"diffusers.{model.pipeline}")
    guided = model.guided(comparison.guidance)
    settings = dict(comparison.settings)
    given = family.to_encode(cls, settings, guided=guided)
    more = "".join(f", {name}={value!r}" for name, value in given.items())
    more += ", device=pipe._execution_device" if family.wants_device(cls) else ""
    if family.shows is not None and comparison.references:
        reading.embed(family.shows)
        more += f", **{family.shows.__name__}(pipe, references)"
    again = family.replayed and comparison.references
    if again:
        texts = [comparison.prompt]
        if family.encodes_twice(settings, guided=guided):
            texts.append(str(settings.get("negative_prompt", "")))
        return [
            "with torch.no_grad():",
            f"    given = [pipe.encode_prompt(prompt=text{more}) for text in {texts!r}]",
        ]
    taken = family.taken_of(cls)
    lines = [
        f"NAMES = {family.embeddings!r}",
        f"TAKEN = {tuple(sorted(taken))!r}",
        "with torch.no_grad():",
        f"    found = pipe.encode_prompt(prompt={comparison.prompt!r}{more})",
    ]
    if len(family.embeddings) == 1:
        lines.append("    found = (found,)")
    lines.append("encoded = {n: v for n, v in zip(NAMES, found) if n in TAKEN and v is not None}")
    if family.encodes_twice(settings, guided=guided):
        lines += [
            "with torch.no_grad():",
            f"    found = pipe.encode_prompt(prompt={settings.get('negative_prompt', '')!r}{more})",
            *(["    found = (found,)"] if len(family.embeddings) == 1 else []),
            'encoded |= {f"negative_{n}": v for n, v in zip(NAMES, found) if v is not None}',
            "encoded = {n: v for n, v in encoded.items() if n in TAKEN}",
        ]
    return lines
