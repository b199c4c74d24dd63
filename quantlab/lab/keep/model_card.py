"""The model card of a folder that was taken away: what it is, how to load it, whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantlab import __version__
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog
from quantlab.lab.keep.saving import Difference
from quantlab.lab.libraries import versions
from quantlab.lab.load.keys import compute_dtype
from quantlab.lab.load.part import Part
from quantlab.lab.load.pool import LoadedPlan
from quantlab.lab.lora.attach import fused_lora
from quantlab.lab.lora.file import ADAPTER, USUAL
from quantlab.lab.script import blocks
from quantlab.lab.script.body import pipe_call
from quantlab.lab.script.script import Script
from quantlab.words.comparison import Comparison
from quantlab.words.lora import Lora

__all__ = ["model_card"]

MIB = 2**20
HUB_LICENCES = ("apache-2.0", "mit")
"""Licences that the hub knows by these ids; any other is named as "other"."""
Parts = Mapping[str, Part]


def model_card(
    comparison: Comparison,
    parts: Parts,
    loaded: LoadedPlan,
    differences: Mapping[str, Difference],
    components_only: bool,
    catalog: Catalog,
) -> str:
    """README.md of a folder that holds the first plan of ``comparison``."""
    model, plan = catalog.models[comparison.model], comparison.plans[0]
    target = loaded.device.target
    where = "a CPU" if loaded.device.is_cpu else target
    what = ", ".join(f"{name} in {part.known.id}" for name, part in parts.items())
    fused = fused_lora(comparison, plan, catalog)
    beside = None if fused else comparison.carried
    holds = "the quantized components alone" if components_only else "the whole pipeline"
    lines = [
        *_front(model),
        f"# {model.name}, {what}",
        "",
        f"{model.name} quantized by the plan `{plan}`; this folder holds {holds}. Made with",
        f"quantlab {__version__} on {where}.",
        *_about_lora(comparison, model, beside),
        "",
        "| component | scheme | weights | read back after saving |",
        "|---|---|---|---|",
    ]
    for name, part in parts.items():
        scheme = part.known
        size = f"{loaded.weights_bytes[name] / MIB:.2f} MiB"
        lines.append(f"| {name} | {scheme.name} (`{scheme.id}`) | {size} | {differences[name]} |")
    lines += ["", "## Load", "", *_where(model, components_only), "", "```python"]
    code = _code(comparison, parts, model, components_only, beside, target)
    lines += [*code, "```", ""]
    lines += ["## Versions", "", "What is stored is read by these; others were not tried.", ""]
    lines += [f"- {name} {version}" for name, version in versions().items()]
    return "\n".join([*lines, "", *_licence(model)]) + "\n"


def _front(model: Model) -> list[str]:
    known = model.licence.id in HUB_LICENCES
    licence = [f"license: {model.licence.id if known else 'other'}"]
    if model.licence.id and not known:
        licence.append(f"license_name: {model.licence.id}")
    base = [] if model.local else [f"base_model: {model.source}", "base_model_relation: quantized"]
    more = ["library_name: diffusers", "pipeline_tag: text-to-image"]
    return ["---", *licence, *base, *more, "---", ""]


def _source(model: Model) -> str:
    """The base model's repository or folder; of a folder elsewhere on this machine the name."""
    return Path(model.source).name if Path(model.source).is_absolute() else model.source


def _about_lora(comparison: Comparison, model: Model, beside: Lora | None) -> list[str]:
    if comparison.carried is None:
        return []
    how = f"it lies beside them as `{USUAL}`" if beside else "it is in the weights already"
    carried = f"The {model.denoiser} carries the {comparison.carried}: {how}"
    return [f"{carried}; its own licence holds for it."]


def _where(model: Model, components_only: bool) -> list[str]:
    if components_only and model.local:
        return ["Run in this folder, with the address of the base model in the place of its name:"]
    return ["With diffusers alone, run in this folder:"]


def _code(
    comparison: Comparison,
    parts: Parts,
    model: Model,
    components_only: bool,
    beside: Lora | None,
    target: str,
) -> list[str]:
    """The lines that load the folder and make an image; ``beside`` is the LoRA that lies in it."""
    plan = comparison.plans[0]
    dtype, script = compute_dtype(plan, model), Script()
    modules, loads, arguments = {"torch", "diffusers"}, [], [repr(".")]
    for name, part in parts.items():
        library = part.component.library
        if library == "transformers":
            # Libraries that transformers does not know by itself register when imported.
            modules.add(part.spec.path.partition(".")[0])
        if components_only:
            modules.add(library)
            loads.append(f'{name} = {part.cls}.from_pretrained("{name}", dtype={dtype})')
    if model.family.modular:
        script.ready = list(parts) if components_only else []
        source = repr(_source(model)) if components_only else 'os.path.abspath(".")'
        modules |= set() if components_only else {"os"}
        loads += blocks.load_lines(script, model, plan, dtype, source)
        modules.add("transformers")
    if components_only:
        arguments = [repr(_source(model)), *(f"{name}={name}" for name in parts)]
    given = ", ".join([*arguments, f"dtype={dtype}"])
    lines = [f"import {name}" for name in sorted(modules)]
    lines += ["from typing import Any"] if script.functions else []
    lines += ["", *(line for text in script.functions for line in text.splitlines()), *loads]
    if not model.family.modular:
        lines.append(f"pipe = diffusers.DiffusionPipeline.from_pretrained({given})")
    if target != "cpu":
        lines.append(f'pipe.to("{target}")')
    if beside is not None:
        lines.append(
            f'pipe.load_lora_weights(".", weight_name="{USUAL}", adapter_name="{ADAPTER}")'
        )
        lines.append(f'pipe.set_adapters("{ADAPTER}", {beside.weight!r})')
    return [*lines, *pipe_call(comparison, plan, model)]


def _licence(model: Model) -> list[str]:
    name = model.licence.id or "which is not known here"
    said = [
        "## Licence",
        "",
        f"The weights are those of {model.name} (`{_source(model)}`) in another form: its licence,",
        f"{name}, holds for them too.",
    ]
    if model.gated == "yes":
        said.append("Who downloads the base model accepts it first; so must who gets this folder.")
    return said
