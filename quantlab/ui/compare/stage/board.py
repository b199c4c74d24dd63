"""The pictures and figures of the Compare tab as updates: ``board`` and ``facts``.

What is on it: a seat for each plan of the choosers, with its result where the comparison that is
shown has one, or the picture of a run that is still measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.ui.compare.plans import nearest_plan
from quantlab.ui.compare.stage.difference import difference
from quantlab.ui.compare.stage.facts_view import facts
from quantlab.ui.compare.stage.measured_view import warnings_of
from quantlab.ui.compare.stage.strip_view import Seat, stage
from quantlab.ui.download import offer
from quantlab.ui.named import Updates
from quantlab.ui.state import Result, Shown
from quantlab.words.outcome import Outcome
from quantlab.words.plan import Plan

__all__ = ["LOSSY", "board", "instead_of", "picture", "predicted_bytes", "state_of"]

LOSSY = (
    "These pictures ship compressed, and part of the difference is that; the scores are of the "
    "originals."
)


def picture(png: bytes | None) -> str | None:
    """The path of a stored PNG in Gradio's cache, from where it is served as it is."""
    return offer("image.png", png) if png else None


def state_of(outcome: Outcome) -> str:
    """``done``, ``stopped`` or ``failed``."""
    if outcome.error is None:
        return "done"
    return "stopped" if outcome.error.stage == "stopped" else "failed"


def board(
    plans: Sequence[str],
    shown: Shown,
    model: Model,
    catalog: Catalog,
    *,
    state: str = "idle",
    running: int | None = None,
    drawn: Mapping[str, str] | None = None,
) -> Updates:
    """Stage and strip, and the figures of these plans. Those without a result are in ``state``, but
    for the one that is ``running``; ``drawn`` are files of pictures that have no figures yet."""
    seats = [
        _seat(plan, shown, "running" if index == running else state, drawn or {})
        for index, plan in enumerate(plans)
    ]
    ahead = [seat.plan for seat in seats if seat.result is None]
    table = facts(
        seats,
        shown.reference.outcome if shown.reference else None,
        labels={c.name: model.family.label(c.name) for c in model.components},
        predicted={plan: predicted_bytes(plan, model, catalog) for plan in ahead},
        instead={plan: instead_of(plan, shown, catalog) for plan in plans},
        warnings={plan: warnings_of(plan, catalog) for plan in ahead},
    )
    return {"board": stage(seats, shown), "facts": table}


def _seat(plan: str, shown: Shown, state: str, drawn: Mapping[str, str]) -> Seat:
    result = shown.get(plan)
    if result is None:
        return Seat(plan, state, drawn.get(plan))
    path = result.path if result.path and Path(result.path).exists() else None
    return Seat(plan, state_of(result.outcome), path, result, _differs(result, shown))


def _differs(result: Result, shown: Shown) -> str:
    """What is to be said of a picture's difference from the reference's."""
    reference = shown.reference
    if reference is None or result is reference or not (result.path and reference.path):
        return ""
    if result.lossy or reference.lossy:
        return LOSSY
    return _difference_text(result.path, reference.path)


@lru_cache(maxsize=256)
def _difference_text(path: str, reference: str) -> str:
    try:
        found = difference(Path(path).read_bytes(), Path(reference).read_bytes())
    except (OSError, ValueError):  # the page's cache was emptied, or the sizes differ
        return ""
    if not found.largest:
        return "Not one pixel differs from the reference."
    return f"{found.share:.0%} of the pixels differ, at most by {found.largest} of 255."


def predicted_bytes(plan: str, model: Model, catalog: Catalog) -> int | None:
    """Predicted bytes of the weights of ``plan``, or None where that cannot be said."""
    return _predicted_bytes(plan, model.id, catalog)


@lru_cache(maxsize=2048)
def _predicted_bytes(plan: str, model_id: str, catalog: Catalog) -> int | None:
    """Kept: 4 ms a plan, and every opened comparison asks for each of its own."""
    try:
        parsed = parse_plan(plan, catalog.models[model_id], catalog)
        return predict(model_id, parsed, catalog=catalog).total_bytes
    except InputError:
        return None


def instead_of(plan: str, shown: Shown, catalog: Catalog) -> str | None:
    """The plan to offer where ``plan`` failed, or None."""
    result = shown.get(plan)
    if result is None or shown.comparison is None or state_of(result.outcome) != "failed":
        return None
    model = catalog.models.get(shown.comparison.model)
    found = next((p for p in shown.comparison.plans if str(p) == plan), None)
    if model is None or not isinstance(found, Plan):
        return None
    return nearest_plan(found, model, catalog)
