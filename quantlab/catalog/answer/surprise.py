"""Where a run on a listed card was worse than what was predicted for it: worth sending in.

Slower: past the high end of the predicted seconds. Larger: the peak is past the predicted one by
more than ``LARGER``. Out of memory: it was predicted to fit. Nothing is said of a CPU, nor of a
card that data/gpus does not list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from quantlab.catalog.answer.seconds import Timer
from quantlab.catalog.gpus import Gpu, recognise
from quantlab.catalog.placement import placements_for
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.sizes.picture import picture_asked
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import Seconds
from quantlab.errors import InputError, PlanError
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from quantlab.words.plan import Plan
from quantlab.words.units import gib

__all__ = ["Surprise", "card_of_device", "surprises"]

LARGER = 0.1
"""By which share a measured peak may be past the predicted one: allocators differ."""


@dataclass(frozen=True)
class Surprise:
    """What was worse than predicted, with both numbers, for people."""

    kind: Literal["slower", "larger", "out-of-memory"]
    text: str


def surprises(
    asked: Comparison, outcome: Outcome, about: Mapping[str, Any], catalog: Catalog
) -> tuple[Surprise, ...]:
    """What of ``outcome`` was worse than predicted; ``about`` is the device as results keep it."""
    card, model = card_of_device(about), catalog.models.get(asked.model)
    if card is None or model is None or asked.carried is not None:
        return ()
    plan = Plan.read(outcome.plan, model.denoiser)
    try:
        picture = picture_asked(asked, model)
        needs = needs_of(plan, model, picture, catalog=catalog)
    except (InputError, PlanError):
        return ()
    if outcome.error is not None:
        ran_out = outcome.error.type == "OutOfMemory"
        return tuple(_ran_out(plan, card, needs, catalog)) if ran_out else ()
    found = [*_larger(plan, card, needs, outcome, catalog)]
    return (*_slower(asked, plan, model, card, needs, outcome, catalog), *found)


def card_of_device(about: Mapping[str, Any]) -> Gpu | None:
    """The listed card that a device is, as results keep it; None for a CPU or another."""
    name, total = about.get("name"), about.get("memory_bytes")
    if not isinstance(name, str) or not isinstance(total, int):
        return None
    found = recognise(name, total)
    return found if found is not None and found.kind == about.get("kind") else None


def _ran_out(plan: Plan, card: Gpu, needs: Needs, catalog: Catalog) -> Iterator[Surprise]:
    if found := placements_for(needs, plan, card, catalog):
        peak, own = gib(found[0].peak_bytes), gib(card.bytes)
        yield Surprise("out-of-memory", f"ran out of memory; predicted {peak} of {own} at the peak")


def _larger(
    plan: Plan, card: Gpu, needs: Needs, outcome: Outcome, catalog: Catalog
) -> Iterator[Surprise]:
    placed = placements_for(needs, plan, card, catalog)
    told = next((p.peak_bytes for p in placed if p.kind == outcome.placement), None)
    if told and outcome.peak_bytes and outcome.peak_bytes > (1 + LARGER) * told:
        yield Surprise(
            "larger", f"took {gib(outcome.peak_bytes)} at the peak, predicted {gib(told)}"
        )


def _slower(
    asked: Comparison,
    plan: Plan,
    model: Model,
    card: Gpu,
    needs: Needs,
    outcome: Outcome,
    catalog: Catalog,
) -> Iterator[Surprise]:
    kinds = [p.kind for p in placements_for(needs, plan, card, catalog)]
    kind = next((kind for kind in kinds if kind == outcome.placement), None)
    if kind is None or not outcome.latency_s:
        return
    told = Timer(model, card, picture_asked(asked, model), catalog, steps=asked.steps).seconds(
        plan, kind, needs
    )
    seen = median(outcome.latency_s)
    if isinstance(told, Seconds) and seen > told.high:
        yield Surprise("slower", f"took {seen:.3g} s an image, predicted {told.span()}")
