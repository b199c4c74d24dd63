"""A sweep as a value: plans x prompts x seeds on one model, in order, and what came out of it.

Plans come one after the other, the reference first, so that each is loaded once. Every plan is
held against the reference on the same pairs of prompt and seed. Runs nothing (sweeps/run.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.read.mixes import content_of
from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError, StoreError
from quantlab.record.results.export import Row
from quantlab.record.sweeps.statistics import Point, Summary, on_front, summarize
from quantlab.record.sweeps.table import MIXES
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from quantlab.words.plan import Plan

__all__ = ["Lane", "Sweep", "make_sweep", "pair", "role", "summaries"]


@dataclass(frozen=True)
class Lane:
    """One plan over all pairs of prompt and seed; every comparison names the reference first.

    ``mixes`` is a digest of what the tuned mixes of plan and reference hold, "" without one.
    """

    plan: str
    comparisons: tuple[Comparison, ...]
    mixes: str = ""

    def versions(self, installed: Mapping[str, str]) -> dict[str, str]:
        """Those that a row of this lane carries."""
        return {**installed, MIXES: self.mixes} if self.mixes else dict(installed)


@dataclass(frozen=True)
class Sweep:
    """What is to be measured, and how. The first lane is the reference."""

    lanes: tuple[Lane, ...]
    repeats: int = 1
    warmup: int = 1
    isolate: bool = False

    @property
    def total(self) -> int:
        """The number of rows when all is done."""
        return sum(len(lane.comparisons) for lane in self.lanes)

    @property
    def plans(self) -> list[Plan]:
        """Of all lanes."""
        return [plan for lane in self.lanes for plan in lane.comparisons[0].plans]

    @property
    def model(self) -> str:
        """The model's id."""
        return self.lanes[0].comparisons[0].model


def make_sweep(
    plans: Sequence[str],
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    repeats: int = 1,
    warmup: int = 1,
    isolate: bool = False,
    noise_floor: bool = True,
    **settings: Any,
) -> Sweep:
    """Check everything before anything runs; ``settings`` are those of ``make_comparison``.

    With ``noise_floor`` the reference plan is run a second time, against itself.

    Raises:
        InputError: names the part that is wrong.
    """
    for part, values in (("plans", plans), ("prompts", prompts), ("seeds", seeds)):
        if not values:
            raise InputError(part, "none given")
    pairs = [(prompt, seed) for prompt in dict.fromkeys(prompts) for seed in dict.fromkeys(seeds)]
    catalog = settings.get("catalog") or load_catalog()
    reference, *others = dict.fromkeys(
        str(make_comparison(plans=[text], prompt=prompts[0], **settings).plans[0]) for text in plans
    )

    def lane(*names: str) -> Lane:
        made = [make_comparison(plans=names, prompt=p, seed=s, **settings) for p, s in pairs]
        held = (one for plan in made[0].plans for one in catalog.schemes_of(plan))
        return Lane(names[-1], tuple(made), content_of(held))

    lanes = [lane(reference)]
    if noise_floor:
        lanes.append(lane(reference, reference))
    lanes += [lane(reference, name) for name in others]
    return Sweep(tuple(lanes), repeats, warmup, isolate)


def role(comparison: Comparison) -> str:
    """ "reference", "again" (the reference once more: the noise floor) or "plan"."""
    if len(comparison.plans) == 1:
        return "reference"
    return "again" if comparison.plans[0] == comparison.plans[-1] else "plan"


def pair(comparison: Comparison) -> tuple[str, int]:
    """The prompt and seed of a comparison."""
    return comparison.prompt, comparison.seed


def summaries(rows: Sequence[Row]) -> tuple[list[Summary], Summary | None]:
    """A summary for each plan, the reference first, and the noise floor where it was measured.

    Raises:
        StoreError: there is no row of a reference plan.
    """
    lanes: dict[tuple[str, str], dict[tuple[str, int], Outcome]] = {}
    for row in rows:
        c = row.comparison
        lanes.setdefault((role(c), str(c.plans[-1])), {})[pair(c)] = row.outcome
    reference: Mapping[tuple[str, int], Outcome] | None = next(
        (lane for (kind, _), lane in lanes.items() if kind == "reference"), None
    )
    if reference is None:
        raise StoreError("The sweep has no result of its reference plan.")
    made = {key: summarize(key[1], lane, reference) for key, lane in lanes.items()}
    floor = next((summary for (kind, _), summary in made.items() if kind == "again"), None)
    plans = [(kind, summary) for (kind, _), summary in made.items() if kind != "again"]
    points = [Point.of(summary, is_reference=kind == "reference") for kind, summary in plans]
    front = on_front(points)
    return [replace(s, pareto=flag) for (_, s), flag in zip(plans, front, strict=True)], floor
