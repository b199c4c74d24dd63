"""A complete script, without quantlab, that makes the image of one plan again.

Run from the folder that holds data/flux-mini it writes ``image.png`` into the current folder, the
same to the bit on the same machine and versions; compiled plans on a GPU to the last bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog
from quantlab.errors import PlanError
from quantlab.lab.device import Device
from quantlab.lab.libraries import versions
from quantlab.lab.load.keys import compute_dtype, keys_of
from quantlab.lab.load.part import Part, part_of
from quantlab.lab.load.runnable import why_not_run
from quantlab.lab.load.way import way_of
from quantlab.lab.lora.attach import fused_lora, refuse_lora
from quantlab.lab.script.lora_lines import attach_lines
from quantlab.lab.script.script import Script
from quantlab.lab.specs import PIPELINE_CONFIG, render_simple
from quantlab.lab.ways.config import quantizes_on
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan

__all__ = ["pipe_call", "snippet"]

_HEADER_PACKAGES = ("torch", "diffusers", "transformers", "accelerate")


def snippet(
    comparison: Comparison, plan: Plan, catalog: Catalog, device: Device, *, simple: bool = False
) -> str:
    """The script for ``plan`` of ``comparison``; ``simple`` asks for diffusers' simple form.

    It is for ``device``, but for a GPU where that is a CPU and the model is made for one.

    Raises:
        PlanError: the model is not run here, no file of a scheme is known, or its component's
            library has no config class for it, or diffusers has no simple form for the plan.
    """
    model = catalog.models[comparison.model]
    if (reason := why_not_run(model)) is not None:
        raise PlanError(reason)
    dtype = compute_dtype(plan, model)
    target = device.target if model.local or not device.is_cpu else "cuda"
    script = Script()
    refuse_lora(comparison, plan, catalog)
    fused = fused_lora(comparison, plan, catalog)
    if simple and fused is not None:
        raise PlanError(
            "the simple form quantizes base weights, which have no LoRA fused into them"
        )
    keys = keys_of(model, plan, fused)
    where = target, "resident"
    parts = [part_of(keys[name], model, catalog, *where) for name, _ in plan.parts]
    if simple:
        script.config = _simple(parts)
        script.modules.add("diffusers.quantizers")
        script.quantizes_on = quantizes_on(parts[0])
    else:
        for part in parts:
            way_of(part).write(part, script)
    if comparison.carried is not None and fused is None:
        script.after += attach_lines(comparison.carried, model)
    if plan.compiled:
        script.after += [
            "# On a GPU kernels are picked by their times: another process may pick others, and",
            "# pixels then differ in their last bits.",
            f"pipe.{model.denoiser}.compile_repeated_blocks(fullgraph=True)",
        ]
    methods = sorted({part.scheme.method for part in parts if part.scheme is not None})
    packages = [p for m in methods for p in catalog.methods[m].packages]
    if model.local:
        written = [text for part in parts if part.scheme for text in part.scheme.written_with]
        packages += [text.partition(">=")[0] for text in written]
    packages += ["peft"] if comparison.carried else []
    return _text(script, comparison, plan, model, dtype, target, device.threads, packages)


def _simple(parts: Sequence[Part]) -> str:
    first = parts[0].scheme if parts else None
    if first is None or any(part.scheme != first for part in parts):
        raise PlanError("the simple form has one quantization backend for all its components")
    if any(part.by_library for part in parts):
        raise PlanError(f"diffusers refuses {first.id} on a CPU, in the simple form too")
    return render_simple(first, [part.component.name for part in parts], parts[0].dtype)


def _text(
    script: Script,
    comparison: Comparison,
    plan: Plan,
    model: Model,
    dtype: str,
    target: str,
    threads: int,
    packages: Iterable[str],
) -> str:
    installed = dict(versions())
    with suppress(PackageNotFoundError):
        installed["peft"] = version("peft")
    wanted = dict.fromkeys([*_HEADER_PACKAGES, *packages])
    pins = " ".join(
        f"{name}=={installed[name].partition('+')[0]}" for name in wanted if name in installed
    )
    is_shipped = model.local and not model.own
    where = "the folder that holds data/" if is_shipped else "anywhere"
    lines = [
        f"# {model.name}, plan {plan}: writes image.png into the current folder.",
        f"# Run it from {where}. Made with Python {installed['python']} and",
        f"# pip install {pins}",
        *(f"import {name}" for name in sorted(script.modules)),
        *(["from typing import Any"] if script.functions else []),
        "",
        f"torch.set_num_threads({threads})",
        f"MODEL = {json.dumps(model.source, ensure_ascii=False)}",
        "",
    ]
    for source in script.functions:
        lines += ["", *source.splitlines(), "", ""]
    lines += script.before
    if script.mapping:
        mapping = "\n".join(script.mapping)
        script.config = f"{PIPELINE_CONFIG}(\n    quant_mapping={{\n{mapping}\n    }}\n)"
    if script.config:
        lines.append(f"quantization_config = {script.config}")
        script.arguments.append("    quantization_config=quantization_config,")
    if script.quantizes_on:
        script.arguments.append(f'    device_map="{script.quantizes_on}",')
    lines += ["pipe = diffusers.DiffusionPipeline.from_pretrained(", "    MODEL,"]
    if model.own and not model.local:
        lines.append(f'    revision="{model.revision}",')
    lines += [*script.arguments, f"    dtype={dtype},", ")", *script.after]
    if target != "cpu":
        lines.append(f'pipe.to("{target}")')
    lines += pipe_call(comparison, model)
    return "\n".join(lines) + "\n"


def pipe_call(comparison: Comparison, model: Model) -> list[str]:
    """The lines that make ``image.png`` with a pipeline of ``model`` that is called ``pipe``."""
    family = model.family
    given = family.arguments(dict(comparison.settings))
    if family.needs_negative and model.guided(comparison.guidance):
        given["negative_prompt"] = ""
    return [
        "image = pipe(",
        f"    prompt={comparison.prompt!r},",
        *(f"    {name}={value!r}," for name, value in given.items()),
        f'    generator=torch.Generator("cpu").manual_seed({comparison.seed}),',
        f").{family.picture}",
        'image.save("image.png")',
    ]
