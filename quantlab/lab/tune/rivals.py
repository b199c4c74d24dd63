"""The mix and what it is held against: uniform plans of at least as many bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quantlab.catalog.read.mixes import mix_of
from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import Catalog
from quantlab.lab.tune.allocate import Option, mean_bits
from quantlab.lab.tune.layers import Layer, bits_of, usually_kept
from quantlab.lab.tune.question import Question

__all__ = ["contestants", "weighted"]

IMPORTANCE = "importance.safetensors"


def weighted(asked: Question) -> str:
    """The file by which the mix is rounded; "" where its library cannot."""
    mixing = asked.method.mixing
    return str(asked.out.resolve() / IMPORTANCE) if mixing and mixing.weighted else ""


def contestants(
    asked: Question,
    options: Mapping[Layer, Sequence[Option]],
    chosen: Mapping[Layer, Option],
    catalog: Catalog,
) -> tuple[Scheme, tuple[Scheme, float], tuple[Scheme, float]]:
    """The mix; the uniform plan with the usual layers in 16 bits; the one without.

    Each uniform plan is the smallest that has at least the mix's bits, of several the better one,
    with its bits; where none has as many, the largest. It is as people have it: rounded without
    regard to what goes into a layer.
    """
    mixing, shapes = asked.method.mixing, asked.model.components[0].shapes
    assert mixing is not None
    bits, kept = mean_bits(chosen), set(usually_kept(options))

    def named(name: str, about: str, of: Mapping[Layer, Option], importance: str = "") -> Scheme:
        held = {layer.name: one.scheme for layer, one in of.items() if one.scheme}
        return mix_of(name, about, shapes, mean_bits(of), held, catalog.schemes, importance)

    def smallest(spared: set[str]) -> tuple[str, dict[Layer, Option]]:
        every = (*mixing.schemes, mixing.kept)
        made = [(one, _uniform(one, mixing.kept, spared, options, catalog)) for one in every if one]
        whole = [(one, of) for one, of in made if of]
        able = [(one, of) for one, of in whole if mean_bits(of) >= bits - 1e-9]
        largest = max((mean_bits(of) for _, of in whole), default=0.0)
        able = able or [(one, of) for one, of in whole if mean_bits(of) == largest]
        return min(
            able, key=lambda one: (mean_bits(one[1]), sum(o.effect for o in one[1].values()))
        )

    name = asked.out.resolve().name.lower()
    mix = named(name, f"{asked.model.name} at {bits:.2f} bits", chosen, weighted(asked))
    scheme, of = smallest(kept)
    uniform_kept = named(f"{name}-uniform", f"{scheme}, embedders and last layers in 16 bits", of)
    plain, plain_of = smallest(set())
    everywhere = catalog.schemes[plain]
    if everywhere.keeping is not None and everywhere.keeping.mixed:  # by itself it may skip some
        everywhere = named(f"{name}-plain", f"{plain} on every layer", plain_of)
    return mix, (uniform_kept, mean_bits(of)), (everywhere, mean_bits(plain_of))


def _uniform(
    scheme: str,
    kept: str,
    spared: set[str],
    options: Mapping[Layer, Sequence[Option]],
    catalog: Catalog,
) -> dict[Layer, Option] | None:
    """``scheme`` on every layer but the ``spared`` ones; None where it cannot be put on one."""
    found: dict[Layer, Option] = {}
    for layer, each in options.items():
        wanted = kept if layer.name in spared else scheme
        bits = bits_of(layer, catalog.schemes[wanted] if wanted else None)
        alike = [one for one in each if one.scheme == wanted or one.bits == bits]
        if not alike and not kept:
            alike = [one for one in each if not one.scheme]  # what its library leaves alone
        if not alike:
            return None
        found[layer] = alike[0]
    return found
