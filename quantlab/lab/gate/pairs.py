"""The comparisons of a gate: every prompt with every seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.own.mixes import admit_all
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.words.comparison import SHIPPED, Comparison

__all__ = ["MOST", "PROMPTS", "SEEDS", "pairs_of"]

PROMPTS = PROJECT / "data" / "results" / "prompts.txt"
EVERY = 8
"""One in so many of the prompts is taken where none are given."""
SEEDS = (0, 1)
MOST = 1000
"""Pairs of one gate."""


def pairs_of(
    plan: str,
    reference: str,
    catalog: Catalog,
    *,
    model: str = SHIPPED,
    prompts: Sequence[str] = (),
    seeds: Sequence[int] = (),
    **settings: Any,
) -> tuple[tuple[Comparison, ...], Catalog]:
    """Reference, reference again and plan for each pair; the catalogue that knows the plan.

    What is named twice counts once: the same picture again says nothing new.

    Raises:
        InputError: a part is wrong.
    """
    for name, given in (("prompts", prompts), ("seeds", seeds)):
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise InputError(name, f"{given!r:.42} is one; a list is wanted")
    (plan, reference), catalog = admit_all((plan, reference), catalog)
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    chosen = tuple(dict.fromkeys(prompts))
    chosen = chosen or tuple(line for line in lines if line and line[0] != "#")[::EVERY]
    drawn = tuple(dict.fromkeys(seeds)) or SEEDS
    if len(chosen) * len(drawn) > MOST:
        raise InputError("prompts", f"{len(chosen) * len(drawn)} pairs; up to {MOST} are allowed")
    pairs = tuple(
        make_comparison(
            model=model,
            plans=[reference, reference, plan],
            prompt=prompt,
            seed=seed,
            catalog=catalog,
            **settings,
        )
        for prompt in chosen
        for seed in drawn
    )
    return pairs, catalog
