"""Which layer gets which scheme: the least sum of single effects within a budget of stored bits.

An integer program with one choice a layer, solved by scipy's HiGHS. Squares of relative errors add
up where the errors of layers have nothing to do with each other; whether they do is looked at
afterwards (validate.py), not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantlab.errors import InputError
from quantlab.lab.libraries import resolve
from quantlab.lab.tune.layers import Layer
from quantlab.words.numbers import show

__all__ = ["Option", "allocate", "check_budget", "mean_bits"]

GAP = 1e-4
"""How near to the best allocation the solver must come, as a share of it."""


@dataclass(frozen=True)
class Option:
    """A scheme that a layer may get; "" leaves it in 16 bits.

    ``bits`` a number, ``effect`` the mean square of the relative error that it makes alone.
    """

    scheme: str
    bits: float
    effect: float


def allocate(options: Mapping[Layer, Sequence[Option]], budget_bits: float) -> dict[Layer, Option]:
    """The options, one a layer, with the least sum of effects at ``budget_bits`` or fewer.

    Raises:
        InputError: not even the smallest schemes are that small.
    """
    least = {layer: min(one.bits for one in each) for layer, each in options.items()}
    check_budget(least, budget_bits)
    pairs = [(layer, option) for layer, each in options.items() for option in each]
    numbers = sum(layer.numbers for layer in options)
    numpy = resolve("numpy.array")
    effects = numpy([option.effect for _, option in pairs])
    order = {layer: index for index, layer in enumerate(options)}
    rows = [order[layer] for layer, _ in pairs]
    once = resolve("scipy.sparse.csr_array")(
        (numpy([1.0] * len(pairs)), (rows, range(len(pairs)))), shape=(len(order), len(pairs))
    )
    share = numpy([[option.bits * layer.numbers / numbers for layer, option in pairs]])
    rule = resolve("scipy.optimize.LinearConstraint")
    found = resolve("scipy.optimize.milp")(
        effects / max(effects.max(), 1e-30) * 1e6,
        constraints=[rule(once, 1, 1), rule(share, 0, budget_bits)],
        integrality=numpy([1] * len(pairs)),
        bounds=resolve("scipy.optimize.Bounds")(0, 1),
        options={"mip_rel_gap": GAP, "time_limit": 60.0},
    )
    if found.x is None:
        raise InputError("budget-bits", f"{show(budget_bits)}; no allocation was found")
    return {layer: option for (layer, option), x in zip(pairs, found.x, strict=True) if x > 0.5}


def mean_bits(chosen: Mapping[Layer, Option]) -> float:
    """Stored bits of all layers over their numbers."""
    return _mean({layer: option.bits for layer, option in chosen.items()})


def check_budget(least: Mapping[Layer, float], budget_bits: float) -> None:
    """Hold the budget against the bits that each layer takes at least, which are known before
    anything is measured.

    Raises:
        InputError: it is smaller.
    """
    if (mean := _mean(least)) > budget_bits:
        raise InputError(
            "budget-bits", f"{show(budget_bits)}; the smallest schemes here take {mean:.2f}"
        )


def _mean(bits: Mapping[Layer, float]) -> float:
    return sum(layer.numbers * each for layer, each in bits.items()) / sum(
        la.numbers for la in bits
    )
