"""Where a script keeps the weights: as somebody says, or as it is predicted to fit a card."""

from __future__ import annotations

from typing import Any

from quantlab.catalog.gpus import choose_one
from quantlab.catalog.placement import KINDS
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.lab.load.fits import place_on
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan

__all__ = ["DEVICES", "placed_for"]

DEVICES = {"cpu": "cpu", "cuda": "cuda", "rocm": "cuda", "metal": "mps", "intel": "xpu"}
"""Kinds of hardware -> devices as torch calls them."""


def placed_for(
    comparison: Comparison, plan: Plan, placement: str | None, gpu: str | None, catalog: Catalog
) -> dict[str, Any]:
    """``placement`` and ``target`` of ``snippet`` for a placement or a card; neither: nothing.

    Raises:
        InputError: there is no such placement, or not one such card.
        DoesNotFit: the plan fits the card in no placement.
    """
    if gpu is not None:
        card = choose_one(gpu)
        found = place_on(card, comparison, plan, catalog)
        return {"placement": found.kind, "target": DEVICES[card.kind]}
    if placement is None:
        return {}
    if placement not in KINDS:
        raise InputError("placement", f"{placement!r:.40}; there are {', '.join(KINDS)}")
    return {"placement": placement}
