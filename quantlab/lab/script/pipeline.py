"""A complete script, without quantlab, that makes the image of one plan again.

Run from the folder that holds data/flux-mini it writes ``image.png`` into the current folder, the
same to the bit on the same machine and versions; compiled plans on a GPU to the last bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from quantlab.catalog import placement as placing
from quantlab.catalog.placement import KINDS, group_offload_options, why_barred
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog
from quantlab.errors import PlanError
from quantlab.lab.device import Device
from quantlab.lab.libraries import versions
from quantlab.lab.load.blocks.files import NO_PIPELINE_CONFIG
from quantlab.lab.load.keys import compute_dtype, keys_of
from quantlab.lab.load.part import Part, part_of
from quantlab.lab.load.pool import compile_settings
from quantlab.lab.load.runnable import why_not_run
from quantlab.lab.load.way import way_of
from quantlab.lab.lora.attach import fused_lora, refuse_lora
from quantlab.lab.script.blocks import reference_lines
from quantlab.lab.script.body import pipe_call, pipe_lines, placed_lines, staged_lines
from quantlab.lab.script.lora_lines import attach_lines
from quantlab.lab.script.processors import write_processors
from quantlab.lab.script.script import Script
from quantlab.lab.specs import render_simple
from quantlab.lab.ways.config import quantizes_on
from quantlab.words.comparison import Comparison
from quantlab.words.plan import TRIMMED, Plan

__all__ = ["snippet"]

_HEADER_PACKAGES = ("torch", "diffusers", "transformers", "accelerate")


def snippet(
    comparison: Comparison,
    plan: Plan,
    catalog: Catalog,
    device: Device,
    *,
    simple: bool = False,
    placement: str = "resident",
    target: str | None = None,
) -> str:
    """The script for ``plan`` of ``comparison``; ``simple`` asks for diffusers' simple form.

    ``placement`` is where it keeps the weights, ``target`` torch's name of what it is for; None:
    ``device``, but a GPU where that is a CPU and the model is made for one.

    Raises:
        PlanError: the model is not run here, no file of a scheme is known, or its component's
            library has no config class for it, or diffusers has no simple form for the plan, or
            the plan cannot be placed so.
    """
    model = catalog.models[comparison.model]
    if (reason := why_not_run(model, comparison)) is not None:
        raise PlanError(reason)
    dtype, target = compute_dtype(plan, model), target or _target(model, device)
    refuse_lora(comparison, plan, catalog, placement)
    _refuse_placement(placement, plan, target, catalog, simple=simple)
    fused = fused_lora(comparison, plan, catalog)
    if simple and fused is not None:
        raise PlanError(
            "the simple form quantizes base weights, which have no LoRA fused into them"
        )
    keys = keys_of(model, plan, fused)
    where = target, placement
    parts = [part_of(keys[n], model, catalog, *where) for n in _by_itself(plan, model) if n in keys]
    if placement == "staged":
        reading, drawing = (_written(group) for group in _by_stage(parts, model))
        for each in (reading, drawing):
            write_processors(each, model)
        body = staged_lines(reading, drawing, comparison, plan, model, dtype, target)
        scripts = [reading, drawing]
    else:
        scripts = [_simply(parts) if simple else _written(parts)]
        write_processors(scripts[0], model)
        if comparison.carried is not None and fused is None:
            scripts[0].after += attach_lines(comparison.carried, model)
        scripts[0].modules |= {"torch._dynamo"} if plan.compiled else set()
        options = group_offload_options(plan, catalog)
        body = [
            *pipe_lines(scripts[0], model, plan, dtype),
            *placed_lines(model, placement, target, options),
            *_compiled(plan, parts, model, placement, catalog),
            *reference_lines(comparison),
            *pipe_call(comparison, plan, model),
        ]
    packages = _packages(parts, comparison, model, catalog)
    return "\n".join([*_head(scripts, plan, model, packages, device.threads), *body]) + "\n"


def _packages(
    parts: Sequence[Part], comparison: Comparison, model: Model, catalog: Catalog
) -> list[str]:
    """What is to be installed beside torch and diffusers."""
    methods = sorted({part.scheme.method for part in parts if part.scheme is not None})
    packages = [p for m in methods for p in catalog.methods[m].packages]
    if model.local or model.components[0].is_plain_file:
        written = [text for part in parts if part.scheme for text in part.scheme.written_with]
        packages += [text.partition(">=")[0] for text in written]
    packages += ["peft"] if comparison.carried else []
    forms = [part.component.form for part in parts if part.component.form in catalog.methods]
    packages += [p for form in forms for p in catalog.methods[form].packages if p not in packages]
    return packages


def _by_itself(plan: Plan, model: Model) -> list[str]:
    """The components that are not read as the pipeline has them: what is a file, what is named,
    what is trimmed."""
    files = [component.name for component in model.components if component.file]
    idle = [c.name for c in model.components if c.idle and plan.trimmed]
    return list(dict.fromkeys([*files, *(name for name, _ in plan.parts), *idle]))


def _refuse_placement(
    placement: str, plan: Plan, target: str, catalog: Catalog, *, simple: bool
) -> None:
    if placement not in KINDS:
        raise PlanError(f"there is no placement {placement!r:.40}; there are {', '.join(KINDS)}")
    kind = HARDWARE_OF.get(target, target)
    if placement == "staged" and target == "cpu":
        kind = "cuda"  # nothing but the plan bars stages, which a CPU can run as well
    reason = why_barred(placement, plan, placing.Device(0, kind), catalog)
    if reason is None and simple and placement == "staged":
        reason = "the simple form reads all components at once"
    if reason is not None:
        raise PlanError(f"{placement}: {reason}")


HARDWARE_OF = {"mps": "metal", "xpu": "intel"}
"""Devices as torch calls them -> kinds of hardware, where these differ."""


def _by_stage(parts: Sequence[Part], model: Model) -> tuple[list[Part], list[Part]]:
    drawing = (*model.family.denoisers, model.family.decoder)
    return (
        [part for part in parts if part.component.name not in drawing],
        [part for part in parts if part.component.name in drawing],
    )


def _written(parts: Iterable[Part]) -> Script:
    script = Script()
    for part in parts:
        way_of(part).write(part, script)
        if part.scheme is not None and part.scheme.flat_inputs:
            script.flatten_inputs(part)
        if part.trimmed:
            script.trim(part)
    return script


def _simply(parts: Sequence[Part]) -> Script:
    script = Script()
    script.config = _simple(parts)
    script.quantizes_on = quantizes_on(parts[0])
    return script


def _compiled(
    plan: Plan, parts: Sequence[Part], model: Model, placement: str, catalog: Catalog
) -> list[str]:
    """Lines that compile the denoiser's blocks as load/pool.py does."""
    if not plan.compiled:
        return []
    denoiser = next((part for part in parts if part.component.name == model.denoiser), None)
    whole = placement != "group-offload" and (
        denoiser is None or way_of(denoiser).whole_blocks(denoiser)
    )
    settings = compile_settings(catalog.methods_of([plan.scheme(model.denoiser) or ""]))
    return [
        *(f"torch._dynamo.config.{name} = {value!r}" for name, value in settings.items()),
        "# On a GPU kernels are picked by their times: another process may pick others, and",
        "# pixels then differ in their last bits.",
        f"pipe.{model.denoiser}.compile_repeated_blocks(fullgraph={whole})",
    ]


def _target(model: Model, device: Device) -> str:
    """The device that the script is for: a GPU for models made for one, of which it is only known
    where they are listed."""
    here = model.local or model.own or not device.is_cpu
    return device.target if here else "cuda"


def _simple(parts: Sequence[Part]) -> str:
    if any(part.model.family.modular for part in parts):
        raise PlanError(NO_PIPELINE_CONFIG)
    first = parts[0].scheme if parts else None
    if first is None or any(part.scheme != first for part in parts):
        raise PlanError("the simple form has one quantization backend for all its components")
    if any(part.trimmed for part in parts):
        raise PlanError(f"the simple form reads components whole; leave {TRIMMED} away")
    if any(part.by_library for part in parts):
        raise PlanError(f"diffusers refuses {first.id} on a CPU, in the simple form too")
    return render_simple(first, [part.component.name for part in parts], parts[0].dtype)


def _head(
    scripts: Sequence[Script],
    plan: Plan,
    model: Model,
    packages: Iterable[str],
    threads: int,
) -> list[str]:
    """What stands above the work: how to run it, imports, functions, the model."""
    installed = dict(versions())
    with suppress(PackageNotFoundError):
        installed["peft"] = version("peft")
    wanted = dict.fromkeys([*_HEADER_PACKAGES, *packages])
    pins = " ".join(
        f"{name}=={installed[name].partition('+')[0]}" for name in wanted if name in installed
    )
    is_shipped = model.local and not model.own
    where = "the folder that holds data/" if is_shipped else "anywhere"
    functions = list(dict.fromkeys(source for script in scripts for source in script.functions))
    lines = [
        f"# {model.name}, plan {plan}: writes image.png into the current folder.",
        f"# Run it from {where}. Made with Python {installed['python']} and",
        f"# pip install {pins}",
        *(f"import {name}" for name in sorted(set().union(*(s.modules for s in scripts)))),
        *(["from typing import Any"] if functions else []),
        "",
        f"torch.set_num_threads({threads})",
        f"MODEL = {json.dumps(model.source, ensure_ascii=False)}",
        "",
    ]
    for source in functions:
        lines += ["", *source.splitlines(), "", ""]
    return lines
