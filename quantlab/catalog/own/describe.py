"""A model of one's own: from its configs and safetensors headers to what the catalogue knows.

Only pipelines that a listed model has are supported: the same class with the same components, of
any width and depth. What is learned from the listed model's shape table is which modules are Linear
layers, by their names; the shapes are the own model's. A component that is stored quantized counts
as stored, and is never quantized again. Standard library only, nothing is downloaded here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import log2
from pathlib import Path
from typing import Any

from quantlab.catalog.models.schema import (
    Component,
    Defaults,
    Licence,
    Limits,
    Model,
)
from quantlab.catalog.own.headers import Files, Header, Tensor
from quantlab.catalog.own.rows import hidden_size, module_rows
from quantlab.catalog.sizes.activations import stream_width
from quantlab.catalog.sizes.shapes import OWN, component_shapes
from quantlab.errors import CatalogError, InputError, LoadError

__all__ = ["Own", "defaults_text", "describe", "read_own"]

WEIGHTS = {"diffusers": "diffusion_pytorch_model.safetensors", "transformers": "model.safetensors"}
"""What from_pretrained looks for, or "NAME.index.json" where there are several files."""


@dataclass(frozen=True)
class Own:
    """A described model, and the rows of its shape table by component, as tools/shapes.py has
    them."""

    model: Model
    rows: Mapping[str, Sequence[Sequence[Any]]]
    like: Model
    """The listed model whose defaults it takes."""

    def as_json(self) -> str:
        """The description that ``read_own`` and the shape tables read."""
        components = {name: {"modules": rows} for name, rows in self.rows.items()}
        return json.dumps({"model": asdict(self.model), "components": components})


def describe(
    files: Files,
    listed: Mapping[str, Model],
    *,
    name: str,
    model_id: str,
    source: str,
    local: bool,
    revision: str,
) -> Own:
    """The model in ``files``; ``name`` is for people, the rest as in ``Model``.

    Raises:
        InputError: it is no pipeline that can be run here; the message says which can.
        LoadError: a weight file is missing or damaged.
    """
    index = _json(files, "model_index.json")
    if index is None:
        raise InputError("model", f"{name} has no model_index.json: it is not a diffusers pipeline")
    same = _same_pipeline(index, listed, name)
    configs = {c.name: _json(files, f"{c.name}/config.json") or {} for c in same[0].components}
    found = {c.name: _headers(files, c) for c in same[0].components}
    tensors = {part: _tensors(headers) for part, headers in found.items()}
    rows = {
        c.name: module_rows(c.cls, tensors[c.name], configs[c.name]) for c in same[0].components
    }
    like = _nearest(same, configs[same[0].denoiser])
    model = Model(
        id=model_id,
        name=f"{name} (your own)",
        source=source,
        local=local,
        revision=revision,
        licence=Licence("", "", "unknown"),
        gated="unknown",
        distilled=like.distilled,
        pipeline=like.pipeline,
        base_dtype=like.base_dtype,
        guidance=like.family.guidance_of(configs[like.denoiser], index),
        components=tuple(
            _component(c, model_id, found[c.name], configs[c.name]) for c in like.components
        ),
        defaults=like.defaults,
        limits=like.limits,
        like=like.id,
    )
    return Own(model, rows, like)


def defaults_text(model: Model) -> str:
    """Where the defaults of a model of one's own come from; nothing for a listed model."""
    d = model.defaults
    if not model.own:
        return ""
    return (
        f"Where nothing else is said it runs like {model.like}, the listed model nearest to it in "
        f"width: {d.steps} steps, guidance {d.guidance:g}, {d.width} x {d.height}, "
        f"{d.sequence_length} tokens, {model.base_dtype}."
    )


def read_own(descriptions: Iterable[tuple[str, Path]]) -> dict[str, Model]:
    """The models of ``descriptions``, ids with the files that ``Own.as_json`` was written to.

    Raises:
        CatalogError: a description is gone or broken.
    """
    models = {}
    for model_id, path in descriptions:
        try:
            models[model_id] = _model(json.loads(path.read_text(encoding="utf-8"))["model"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CatalogError(f"what is known of {model_id} is gone; start again") from error
    return models


def _model(values: Mapping[str, Any]) -> Model:
    """The model whose ``asdict`` went through JSON; what only listed ones have is empty."""
    parts = {
        "components": tuple(Component(**each) for each in values["components"]),
        "licence": Licence(**values["licence"]),
        "defaults": Defaults(**values["defaults"]),
        "limits": Limits(**values["limits"]),
    }
    empty = {name: () for name, value in values.items() if value == []}
    return Model(**{**values, **empty, **parts})


def _component(
    like: Component, model_id: str, headers: Sequence[Header], config: Mapping[str, Any]
) -> Component:
    """A component like the listed one, with its own table and files."""
    sizes = [header.file_bytes for header in headers]
    return replace(
        like,
        shapes=f"{OWN}{like.name}:{model_id}",
        largest_file=max(sizes),
        file_bytes=sum(sizes),
        stored_as=_method(config),
    )


def _json(files: Files, name: str) -> dict[str, Any] | None:
    text = files.text(name)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise LoadError(f"{name} cannot be read as JSON; copy or download it again")
    return value


def _same_pipeline(index: Mapping[str, Any], listed: Mapping[str, Model], name: str) -> list[Model]:
    """The listed models with the same pipeline and components."""
    cls = str(index.get("_class_name"))
    same = [model for model in listed.values() if model.pipeline == cls]
    if not same:
        known = ", ".join(dict.fromkeys(model.pipeline for model in listed.values()))
        raise InputError("model", f"{name} is a {cls:.60}; {known} can be run here")
    for component in same[0].components:
        if index.get(component.name) != [component.library, component.cls]:
            wanted = f"{component.cls} of {component.library}"
            raise InputError("model", f"{name} has another {component.name} than {wanted}")
    for part, value in index.items():
        if isinstance(value, list) and value[:1] not in ([None], ["diffusers"], ["transformers"]):
            raise InputError(
                "model", f"{name} brings code of its own for {part:.60}; it is not run"
            )
    return same


def _headers(files: Files, component: Component) -> list[Header]:
    """The headers of all weight files of a component."""
    single = f"{component.name}/{WEIGHTS[component.library]}"
    index = _json(files, f"{single}.index.json")
    if index is None:
        names = [single]
    else:
        mapped = index.get("weight_map")
        values = list(mapped.values()) if isinstance(mapped, dict) else [None]
        if not all(isinstance(n, str) and "/" not in n and "\\" not in n for n in values):
            raise LoadError(f"{single}.index.json does not name weight files")
        names = sorted({f"{component.name}/{n}" for n in values})
    headers = []
    for path in names:
        header = files.header(path)
        if header is None:
            raise LoadError(f"{path} is missing; only whole safetensors weights can be used")
        headers.append(header)
    return headers


def _tensors(headers: Sequence[Header]) -> dict[str, Tensor]:
    return {name: tensor for header in headers for name, tensor in header.tensors.items()}


def _method(config: Mapping[str, Any]) -> str:
    """How a component is stored quantized, in its config's words, or ""."""
    stored = config.get("quantization_config")
    return str(stored.get("quant_method", "quantized")) if isinstance(stored, dict) else ""


def _nearest(same: Sequence[Model], config: Mapping[str, Any]) -> Model:
    """The listed model of about the same width, and of those the one that is guided or not."""
    width, guided = hidden_size(config), config.get("guidance_embeds")

    def distance(model: Model) -> tuple[int, bool]:
        theirs = stream_width(component_shapes(model, model.denoiser), model.family)
        return round(abs(log2(width / theirs))), (model.guidance == "embedded") != bool(guided)

    return min(same, key=distance)
