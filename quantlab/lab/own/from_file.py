"""A model of one's own whose denoiser is a single file: everything else is another model's.

That is the listed model whose denoiser has the file's tensors; where several have them, the one
that the file's name names, else the first of the list, which people are told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantlab.catalog.models.schema import Component, Model
from quantlab.catalog.own.kept import Own
from quantlab.catalog.paths import PROJECT, there, typed
from quantlab.catalog.sizes.activations import stream_width
from quantlab.catalog.sizes.shapes import OWN, component_shapes, config_of, rows_of
from quantlab.errors import InputError
from quantlab.lab.libraries import resolve
from quantlab.lab.own.built import kept_in_fp32
from quantlab.lab.own.fitting import Fit, fit
from quantlab.lab.own.single import SUFFIXES, Single, read_single

__all__ = ["describe_file", "split"]

DIGITS = 12
IN_FP32 = "in_fp32"
"""The name of the row that stands for what diffusers keeps in fp32."""


def split(text: str) -> tuple[str, Path] | None:
    """``FILE`` or ``MODEL=FILE`` as the model, "" for any, and the file; None for other text."""
    if not text.lower().endswith(SUFFIXES):
        return None
    base, sign, name = text.rpartition("=")
    if sign and there(text) is None:
        return base.strip(), typed(name.strip())
    return "", typed(text)


def describe_file(path: Path, candidates: Sequence[Model]) -> Own:
    """The model of ``candidates`` that the file's denoiser fits, with the file in its place.

    Raises:
        InputError: it is not there, fits none, or holds what cannot be read; the message says why.
        LoadError: it is cut or damaged.
    """
    if not path.is_file():
        raise InputError("model", f"there is no file {str(path)[:200]!r}")
    single = read_single(path.resolve())
    fits = {model.id: fit(single, model) for model in candidates}
    fitting = [model for model in candidates if not fits[model.id].why_not]
    if not fitting:
        raise InputError("model", _fits_none(single, candidates, fits))
    base = _named(single, fitting) or min(fitting, key=lambda model: model.rank)
    found = fits[base.id]
    if found.kept_packed:
        raise InputError(
            "model",
            f"{path.name} has {found.kept_packed} quantized too, which {base.name} needs as it is: "
            f"its pipeline would compute in the type of packed weights",
        )
    return _own(single, base, found, [model.id for model in fitting if model is not base])


def _fits_none(single: Single, candidates: Sequence[Model], fits: Mapping[str, Fit]) -> str:
    reasons = {model.name: fits[model.id].why_not for model in candidates}
    near = {name: why for name, why in reasons.items() if "numbers" not in why}
    name, why = next(iter((near or reasons).items()))
    if len(candidates) == 1:
        return f"{single.path.name} is not the {candidates[0].denoiser} of {name}: {why}"
    return f"{single.path.name} is no listed model's denoiser; the nearest is {name}'s: {why}"


def _named(single: Single, fitting: Sequence[Model]) -> Model | None:
    """The model most of whose id's words stand in the file's name, if that is one."""
    text = re.sub(r"[^a-z0-9]+", "", f"{single.path.stem} {single.said}".lower())

    def words(model: Model) -> int:
        return sum(len(word) for word in re.split(r"[^a-z0-9]+", model.id) if word in text)

    best = sorted(fitting, key=words, reverse=True)
    if len(best) > 1 and words(best[0]) == words(best[1]):
        return None
    return best[0]


def _own(single: Single, base: Model, found: Fit, others: Sequence[str]) -> Own:
    stem = re.sub(r"[^a-z0-9._-]+", "-", single.path.stem.lower()).strip("-.")[:40] or "file"
    made_of = f"{single.digest()} {base.id} {base.revision}"
    model_id = f"{stem}@{hashlib.sha256(made_of.encode()).hexdigest()[:DIGITS]}"
    first = base.components[0]
    component = replace(
        first,
        shapes=f"{OWN}{first.name}:{model_id}",
        file=str(single.path),
        form=single.form,
        file_bytes=0,
        largest_file=single.file_bytes,
        stored_as=single.stored_as,
        held_as=single.held_as,
        layers=first.table,
        repo="",
    )
    said = f"Its {first.name} is {single.path.name}, everything else {base.id}'s."
    if others:
        said += (
            f" {', '.join(others)} would fit it too: --model {others[0]}={single.path.name} "
            f"says which is meant."
        )
    model = replace(
        base,
        id=model_id,
        name=f"{single.path.name} (your own)",
        source=str(PROJECT / base.source) if base.local else base.source,
        components=(component, *base.components[1:]),
        like=base.like or base.id,
        notes=(said,),
        trained=None,
        loras={},
        prequantized=(),
        gguf=(),
        published=(),
        sources=(),
    )
    configs = {first.name: config_of(first.shapes)}
    if component.is_plain_file:  # it has every tensor of the table, and a plan may quantize it
        kept = kept_in_fp32(resolve(f"{first.library}.{first.cls}"))
        return Own(model, {first.name: rows_of(first.shapes)}, configs, {first.name: kept}, {})
    rows = {first.name: _rows(single, found, base, first)}
    return Own(model, rows, configs, {first.name: [IN_FP32]}, {})


def _rows(single: Single, found: Fit, base: Model, component: Component) -> list[list[Any]]:
    """The table of what is held once it is loaded: by types, not by modules."""
    family = base.family
    width = stream_width(component_shapes(base, component.name), family)
    rows: list[list[Any]] = [
        [family.stream, "linear", {"weight": [width, 0]}],  # tells the width, counts nothing
        ["unpacked", "other", {"numbers": [found.numbers]}],
        [IN_FP32, "other", {"numbers": [found.in_fp32]}],
    ]
    if single.packed_bytes:
        rows.append(["packed", "other", {"stored:uint8": [single.packed_bytes]}])
    return rows
