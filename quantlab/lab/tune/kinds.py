"""The schemes of a tuning on every layer: what each takes there, and by what it is rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from quantlab.catalog.read.mixes import PREFIX, mix_of
from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import Catalog
from quantlab.lab.libraries import resolve
from quantlab.lab.tune.effects import Subject
from quantlab.lab.tune.layers import Layer, bits_of
from quantlab.lab.tune.question import Question
from quantlab.lab.tune.rivals import weighted
from quantlab.lab.tune.steps import Inputs

__all__ = ["ALL", "anchor_of", "bits_by_kind", "matters_of", "on_all"]

ALL = f"{PREFIX}all-"
"""How the id of a mix begins that has one scheme on every layer."""


def on_all(
    asked: Question,
    kinds: Sequence[Scheme],
    subject: Subject,
    inputs: Mapping[str, Inputs],
    catalog: Catalog,
) -> Catalog:
    """``catalog`` with each kind on all layers, those too that its library skips by itself; rounded
    by how much each input of them matters and with biases that make good the mean error, where the
    library can."""
    path, layers = weighted(asked), subject.layers
    if path:
        held = {}
        for layer in layers:
            matters = matters_of(asked, subject, layer, inputs[layer.name])
            held[f"{layer.name}.weight"] = matters.contiguous()
            if subject.biased(layer):
                held[f"{layer.name}.bias"] = inputs[layer.name].mean.contiguous()
        resolve("safetensors.torch.save_file")(held, path)
    shapes = asked.model.components[0].shapes
    found = {}
    for kind in kinds:
        every = {layer.name: kind.id for layer in layers if kind.id in bits_by_kind(layer, kinds)}
        name = f"all-{kind.id}"
        mix = mix_of(name, kind.name, shapes, kind.bits, every, catalog.schemes, path)
        found[mix.id] = mix
    return replace(catalog, schemes=MappingProxyType({**catalog.schemes, **found}))


def matters_of(asked: Question, subject: Subject, layer: Layer, inputs: Inputs) -> Any:
    """How much each input of ``layer`` matters: of what a bias makes good only the variance."""
    return inputs.spread if weighted(asked) and subject.biased(layer) else inputs.square


def bits_by_kind(layer: Layer, kinds: Sequence[Scheme]) -> dict[str, float]:
    """Of schemes of the same bits here, as K-quants are where a layer is narrow, the last."""
    counted = {bits_of(layer, scheme): scheme.id for scheme in kinds}
    return {scheme: bits for bits, scheme in counted.items() if bits is not None}


def anchor_of(bits: Mapping[str, float], asked: Question) -> str:
    """The scheme that is really tried: the nearest to the budget that is not the kept one."""
    mixing = asked.method.mixing
    usable = [scheme for scheme in bits if mixing is None or scheme != mixing.kept]
    return min(usable or list(bits), key=lambda scheme: abs(bits[scheme] - asked.budget_bits))
