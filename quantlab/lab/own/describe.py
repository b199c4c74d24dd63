"""A model of one's own: from its configs and safetensors headers to what the catalogue knows.

Every component is built from its config on torch's meta device, and its table is held against what
its files hold. Of a pipeline that a family has, the nearest listed model gives the defaults; of
another the class of the pipeline itself. A component that is stored quantized counts as stored,
and is never quantized again. Nothing is downloaded here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import Any, cast

from quantlab.catalog.models.schema import (
    Component,
    Library,
    Licence,
    Model,
)
from quantlab.catalog.own.headers import Files
from quantlab.catalog.own.kept import Own
from quantlab.catalog.sizes.activations import stream_width
from quantlab.catalog.sizes.shapes import OWN, component_shapes, from_rows
from quantlab.errors import Damaged, InputError, first_line
from quantlab.families import Family, family_of, pipelines
from quantlab.lab.libraries import resolve
from quantlab.lab.own.beside import check_beside
from quantlab.lab.own.built import build, decoding_of, kept_in_fp32, module_rows
from quantlab.lab.own.defaults import defaults_of, limits_of
from quantlab.lab.own.guess import family_from_class
from quantlab.lab.own.parts import STORED, Index, Weights, index_of, weights_of
from quantlab.lab.own.stored import stored_rows

__all__ = ["describe"]

MISSING = 0.001
"""The share of a component's numbers that its files may lack."""
GUESSED = (
    "What runs beside its weights is guessed: its kind of pipeline is not described in quantlab.",
)
_LAYERS = re.compile(r"(num|n)_(\w+_)?(layers|blocks|experts)")
"""Keys of a config that say how often something is repeated; each time has tensors of its own."""


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
        InputError: it is no pipeline of diffusers, or a part of it does not fit; the message says
            which.
        Damaged: a weight file is missing or damaged.
    """
    index = index_of(files, name)
    same = [model for model in listed.values() if model.pipeline == index.pipeline]
    optional = {c.name for m in same for c in m.components if c.optional}
    parts = dict(_parts(files, index, optional))
    check_beside(files, index, name, optional)
    family = _family(index, parts)
    rows = {name: part.stored(family) for name, part in parts.items()}
    denoiser = parts[family.denoiser]
    like = _nearest(same, rows[family.denoiser], denoiser.config)
    defaults = like.defaults if like else defaults_of(index, family, denoiser.config)
    order = _order(family, like, parts)
    model = Model(
        id=model_id,
        name=f"{name} (your own)",
        source=source,
        local=local,
        revision=revision,
        licence=Licence("", "", "unknown"),
        gated="unknown",
        distilled=like.distilled if like else False,
        pipeline=index.pipeline,
        base_dtype=like.base_dtype if like else "bf16",
        guidance=(
            like.guidance
            if like and index.modular
            else family.guidance_of(denoiser.config, index.settings)
        ),
        components=tuple(_component(parts[name], model_id, like) for name in order),
        defaults=defaults,
        limits=limits_of(defaults, family, like),
        like=like.id if like else "",
        described_family=None if like else family,
        notes=() if like else GUESSED,
    )
    configs = {name: parts[name].config for name in order}
    in_fp32 = {name: parts[name].in_fp32 for name in order}
    decoding = {name: parts[name].decoding for name in order}
    return Own(model, {name: rows[name] for name in order}, configs, in_fp32, decoding)


@dataclass(frozen=True)
class _Part:
    """One component: its class, its full config, what the class makes of it, and its files."""

    name: str
    library: str
    cls: str
    config: Mapping[str, Any]
    built: Sequence[Sequence[Any]]
    in_fp32: Sequence[str]
    decoding: Mapping[str, Any]
    weights: Weights

    @property
    def method(self) -> str:
        """How it is stored quantized, in its config's words, or ""."""
        stored = self.weights.config.get("quantization_config")
        return str(stored.get("quant_method", "quantized")) if isinstance(stored, dict) else ""

    def stored(self, family: Family) -> Sequence[Sequence[Any]]:
        """The rows of its table; what is stored quantized counts as it is stored.

        Raises:
            InputError: its files do not hold what its config describes.
        """
        if self.method:
            stream = family.stream if self.name in family.denoisers else ""
            return stored_rows(self.built, self.weights.tensors, stream)
        self._check()
        return self.built

    def _check(self) -> None:
        """Every tensor that the class makes is in the files by its shape; or else, where the
        library joins what is stored apart, the numbers are as many."""
        made = Counter(
            tuple(shape)
            for _, _, tensors in self.built
            for key, shape in tensors.items()
            if isinstance(shape, list) and ":" not in key
        )
        held = Counter(tensor.shape for tensor in self.weights.tensors.values())
        numbers = _numbers(made)
        if _numbers(made - held) > MISSING * numbers and _numbers(held) != numbers:
            raise InputError(
                "model",
                f"{self.name} does not fit: a {self.cls} of its config holds {numbers:,} numbers, "
                f"its files {_numbers(held):,} and not in the same shapes",
            )


def _numbers(shapes: Counter[tuple[int, ...]]) -> int:
    return sum(prod(shape) * count for shape, count in shapes.items())


def _parts(files: Files, index: Index, optional: set[str]) -> Iterator[tuple[str, _Part]]:
    """Every component with weights; one that may be left out and has no files here is."""
    for name, (library, cls) in index.components.items():
        weights = weights_of(files, name, library)
        if not weights.headers:
            if name in optional:
                continue
            raise Damaged(
                f"{name} is missing; only whole safetensors weights can be used, as "
                f"{name}/{STORED[library]}"
            )
        yield name, _part(name, library, cls, weights)


def _part(name: str, library: str, cls: str, weights: Weights) -> _Part:
    """What the class makes of the component's config.

    Raises:
        InputError: it makes nothing of it, or more layers than its files can hold.
    """
    if (most := max(_layers(weights.config), default=0)) > len(weights.tensors):
        raise InputError("model", f"{name}/config.json says {most} layers, which its files lack")
    try:
        module = build(library, cls, weights.config)
    except Exception as error:  # whatever a class says of a config that it cannot take
        said = f"{type(error).__name__}: {first_line(error)}"
        raise InputError("model", f"{name} does not fit: {cls} of its config: {said}") from error
    full = dict(module.config) if library == "diffusers" else {}
    plain = {key: value for key, value in full.items() if _is_json(value)}
    config = {**plain, **weights.config}
    rows, in_fp32, decoding = module_rows(module), kept_in_fp32(module), decoding_of(module)
    return _Part(name, library, cls, config, rows, in_fp32, decoding, weights)


def _layers(config: Mapping[str, Any]) -> Iterator[int]:
    """The numbers of layers, blocks and experts that a config names, nested ones too."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _layers(value)
        elif type(value) is int and _LAYERS.fullmatch(key):
            yield value


def _is_json(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | list | tuple | dict)


def _family(index: Index, parts: Mapping[str, _Part]) -> Family:
    """The family that has such pipelines, or else what their class itself says."""
    if index.pipeline in pipelines():
        family = family_of(index.pipeline)
        for name in (*family.denoisers, family.decoder):
            if name not in parts:
                raise InputError("model", f"{index.pipeline} does not run without its {name}")
        return family
    configs = {name: part.config for name, part in parts.items()}
    rows = {name: part.built for name, part in parts.items()}
    return family_from_class(index, resolve(f"diffusers.{index.pipeline}"), configs, rows)


def _order(family: Family, like: Model | None, parts: Mapping[str, _Part]) -> list[str]:
    """As the listed model has them; else the denoisers first and the decoder last."""
    first = [c.name for c in like.components] if like else [*family.denoisers, *family.encoders]
    known = [name for name in first if name in parts]
    rest = [name for name in parts if name not in known]
    return known + sorted(rest, key=lambda name: name == family.decoder)


def _component(part: _Part, model_id: str, like: Model | None) -> Component:
    """The component with its own table and files."""
    sizes = [header.file_bytes for header in part.weights.headers]
    alike = like.component(part.name) if like else None
    return Component(
        name=part.name,
        library=cast("Library", part.library),
        cls=part.cls,
        shapes=f"{OWN}{part.name}:{model_id}",
        optional=bool(alike and alike.optional),
        largest_file=max(sizes),
        file_bytes=sum(sizes),
        stored_as=part.method,
    )


def _nearest(
    same: Sequence[Model], rows: Sequence[Sequence[Any]], config: Mapping[str, Any]
) -> Model | None:
    """The listed model of about the same width, and of those the one that is guided or not."""
    if not same:
        return None
    width = stream_width(from_rows(rows), same[0].family)
    guided = config.get("guidance_embeds")

    def distance(model: Model) -> tuple[int, bool]:
        theirs = stream_width(component_shapes(model, model.denoiser), model.family)
        return round(abs(log2(width / theirs))), (model.guidance == "embedded") != bool(guided)

    return min(same, key=distance)
