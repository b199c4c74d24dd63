"""A complete script, without quantlab, that makes the image of one plan again.

Run from the folder that holds data/flux-mini it writes ``image.png`` into the current folder, the
same to the bit on the same machine and versions.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from quantlab.catalog.schema import Component, Model, Scheme, Spec
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import PlanError
from quantlab.lab.hub.fetching import by_library
from quantlab.lab.libraries import device, torch, versions
from quantlab.lab.load.keys import DTYPES, compute_dtype
from quantlab.lab.load.runnable import why_not_run
from quantlab.lab.lora.attach import fused_lora, refuse_lora
from quantlab.lab.script.lora_lines import attach_lines, base_lines
from quantlab.lab.ways import apply
from quantlab.lab.ways.config import PIPELINE_CONFIG, render, render_simple, spec_for
from quantlab.words.comparison import Comparison
from quantlab.words.lora import Lora
from quantlab.words.plan import Plan

__all__ = ["pipe_call", "snippet"]

_HEADER_PACKAGES = ("torch", "diffusers", "transformers", "accelerate")


class _Script:
    """Lines of the script by section; what is imported is collected on the way."""

    def __init__(self) -> None:
        self.modules = {"torch", "diffusers"}
        self.functions: list[str] = []
        self.before: list[str] = []
        self.mapping: list[str] = []
        self.config = ""
        self.arguments: list[str] = []
        self.after: list[str] = []

    def embed(self, function: Callable[..., Any]) -> None:
        source = inspect.getsource(function)
        if source not in self.functions:
            self.functions.append(source)


def snippet(
    comparison: Comparison, plan: Plan, catalog: Catalog | None = None, *, simple: bool = False
) -> str:
    """The script for ``plan`` of ``comparison``; ``simple`` asks for diffusers' simple form.

    Raises:
        PlanError: the model is not run here, no file of a scheme is known, or its component's
            library has no config class for it, or diffusers has no simple form for the plan.
    """
    catalog = catalog or load_catalog()
    model = catalog.models[comparison.model]
    if (reason := why_not_run(model)) is not None:
        raise PlanError(reason)
    dtype = compute_dtype(plan, model)
    script = _Script()
    methods = set()
    refuse_lora(comparison, plan, catalog)
    fused = fused_lora(comparison, plan, catalog)
    if simple and fused is not None:
        raise PlanError(
            "the simple form quantizes base weights, which have no LoRA fused into them"
        )
    if simple:
        script.config = _simple(plan, model, catalog, dtype)
        script.modules.add("diffusers.quantizers")
    for name, scheme_id in plan.parts:
        scheme = catalog.schemes.get(scheme_id)
        if scheme is not None and simple:
            methods.add(scheme.method)
        elif scheme is None:
            _cast(script, name, DTYPES[scheme_id], dtype)
        else:
            methods.add(scheme.method)
            _quantize(script, model, name, scheme, dtype, fused if name == model.denoiser else None)
    if comparison.carried is not None and fused is None:
        script.after += attach_lines(comparison.carried, model)
    if plan.compiled:
        script.after.append(f"pipe.{model.denoiser}.compile_repeated_blocks(fullgraph=True)")
    packages = [p for m in sorted(methods) for p in catalog.methods[m].packages]
    packages += ["peft"] if comparison.carried else []
    return _text(script, comparison, plan, model, dtype, packages)


def _target(model: Model) -> str:
    """The device that the script is for: this machine's, but a GPU for models made for one."""
    return device() if model.local or device() != "cpu" else "cuda"


def _simple(plan: Plan, model: Model, catalog: Catalog, dtype: str) -> str:
    schemes = {scheme for _, scheme in plan.parts}
    if len(schemes) != 1 or not schemes <= catalog.schemes.keys():
        raise PlanError("the simple form has one quantization backend for all its components")
    scheme = catalog.schemes[schemes.pop()]
    libraries = {c.library for c in model.components if plan.scheme(c.name) == scheme.id}
    if any(by_library(scheme, library, _target(model)) for library in libraries):
        raise PlanError(f"diffusers refuses {scheme.id} on a CPU, in the simple form too")
    return render_simple(scheme, [name for name, _ in plan.parts], dtype)


def _cast(script: _Script, name: str, own: str, dtype: str) -> None:
    if own == dtype:
        return
    script.embed(apply.cast_component)
    script.after.append(f"cast_component(pipe.{name}, {own}, {dtype})")


def _quantize(
    script: _Script, model: Model, name: str, scheme: Scheme, dtype: str, fused: Lora | None
) -> None:
    component = model.component(name)
    assert component is not None
    if scheme.way == "gguf":
        _gguf(script, model, name, scheme, dtype)
        return
    spec = spec_for(scheme, component.library)
    if fused is not None:
        _fused(script, model, component, spec if scheme.way == "config" else None, dtype, fused)
    if scheme.way == "layerwise":
        storage = spec.args["storage_dtype"]
        script.after.append(
            f"pipe.{name}.enable_layerwise_casting(storage_dtype={storage}, compute_dtype={dtype})"
        )
    elif by_library(scheme, component.library, _target(model)):
        script.embed(apply.quantize_with_bitsandbytes)
        args = {**spec.args, "compute_dtype": None, "skip": scheme.skip.get(component.cls, ())}
        text = ", ".join(
            f"{key}={dtype if key == 'compute_dtype' else repr(value)}"
            for key, value in args.items()
            if key != "bnb_4bit_compute_dtype"
        )
        script.after.append(f"quantize_with_bitsandbytes(pipe.{name}, {text})")
    elif fused is None:
        expression, modules = render(spec, dtype)
        script.modules |= modules | {"diffusers.quantizers"}
        script.mapping.append(f'        "{name}": {expression},')


def _fused(
    script: _Script, model: Model, component: Component, spec: Spec | None, dtype: str, lora: Lora
) -> None:
    """The denoiser with the LoRA in its base weights, quantized by ``spec`` if there is one."""
    expression, modules = render(spec, dtype) if spec else ("", set[str]())
    script.modules |= modules
    others = [c.name for c in model.components if c is not component]
    script.before += [*base_lines(lora, model, others, dtype)]
    script.before += [
        f"{component.name} = diffusers.{component.cls}.from_pretrained(",
        '    "fused",',
        *([f"    quantization_config={expression},"] if expression else []),
        f"    dtype={dtype},",
        ")",
    ]
    script.arguments.append(f"    {component.name}={component.name},")


def _gguf(script: _Script, model: Model, name: str, scheme: Scheme, dtype: str) -> None:
    component = model.component(name)
    assert component is not None
    kind = scheme.id.removeprefix("gguf-").upper()
    path = f"{model.id}-{name}-{kind}.gguf" if model.local else _address(model, scheme)
    expression, modules = render(spec_for(scheme, "diffusers"), dtype)
    script.modules |= modules
    if model.local:
        script.embed(apply.write_gguf)
        script.before.append(f'write_gguf(f"{{MODEL}}/{name}", "{path}", "{kind}")')
    script.before += [
        f"{name} = diffusers.{component.cls}.from_single_file(",
        f'    "{path}",',
        "    config=MODEL,",
        f'    subfolder="{name}",',
        f"    quantization_config={expression},",
        f"    dtype={dtype},",
        ")",
    ]
    script.arguments.append(f"    {name}={name},")


def _address(model: Model, scheme: Scheme) -> str:
    known = model.gguf_with(scheme.id)
    if known is None:
        raise PlanError(f"no {scheme.id} file of {model.id} is known")
    return f"https://huggingface.co/{known.repo}/blob/main/{known.files[scheme.id]}"


def _text(
    script: _Script,
    comparison: Comparison,
    plan: Plan,
    model: Model,
    dtype: str,
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
        f"torch.set_num_threads({torch().get_num_threads()})",
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
    lines += ["pipe = diffusers.DiffusionPipeline.from_pretrained(", "    MODEL,"]
    if model.own and not model.local:
        lines.append(f'    revision="{model.revision}",')
    lines += [*script.arguments, f"    dtype={dtype},", ")", *script.after]
    if _target(model) != "cpu":
        lines.append(f'pipe.to("{_target(model)}")')
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
