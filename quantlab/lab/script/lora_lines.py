"""A LoRA in a script that imports no quantlab: loaded beside the weights, or fused into them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quantlab.catalog.loras import lora_names
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Model
from quantlab.lab.load.part import Part
from quantlab.lab.lora.file import ADAPTER, locate
from quantlab.words.lora import Lora, hub_parts

__all__ = ["attach_lines", "base_lines"]


def attach_lines(lora: Lora, model: Model) -> list[str]:
    """Load it beside the weights of ``pipe``, quantized or not."""
    return [*_load_lines("pipe", lora, model), f'pipe.set_adapters("{ADAPTER}", {lora.weight!r})']


def base_lines(part: Part, others: Iterable[str]) -> list[str]:
    """Fuse the LoRA of ``part``, the denoiser, into its base weights, which then lie in the folder
    ``fused``. What is read from a single file is there already, under its own name."""
    lora, model, dtype = part.lora, part.model, part.dtype
    assert lora is not None
    name = model.denoiser
    here = part.component.is_plain_file
    plain = [
        "base = diffusers.DiffusionPipeline.from_pretrained(",
        "    MODEL,",
        *([f"    {name}={name},"] if here else []),
        *(f"    {name}=None," for name in others),
        f"    dtype={dtype},",
        ")",
    ]
    load = f'load_components("{name}", dtype={dtype})'
    by_component = [
        f"base = diffusers.{model.pipeline}(pretrained_model_name_or_path=MODEL)",
        f"base.update_components({name}={name})" if here else f"base.{load}",
    ]
    return [
        *(by_component if model.family.modular else plain),
        *_load_lines("base", lora, model),
        f'base.fuse_lora(components=["{model.denoiser}"], lora_scale={lora.weight!r})',
        "base.unload_lora_weights()",
        f'base.{model.denoiser}.save_pretrained("fused")',
    ]


def _load_lines(pipe: str, lora: Lora, model: Model) -> list[str]:
    source, more = _address(lora, model)
    given = "".join(f"    {name}={value!r},\n" for name, value in more.items())
    text = f"{pipe}.load_lora_weights(\n    {source!r},\n{given}    adapter_name={ADAPTER!r},\n)"
    return text.splitlines()


def _address(lora: Lora, model: Model) -> tuple[str, dict[str, Any]]:
    """What diffusers is given: a folder or repository, and which file of it."""
    parts = None if lora.name in lora_names(model) else hub_parts(lora.name)
    if parts is not None:
        repo, revision, name = parts
        more = {"weight_name": name} if name else {}
        return repo, more | ({"revision": revision} if revision != "main" else {})
    path = locate(lora, model)
    folder = path.parent
    if folder.is_relative_to(PROJECT) and not model.own:  # whose scripts run from anywhere
        folder = folder.relative_to(PROJECT)
    return folder.as_posix(), {"weight_name": path.name}
