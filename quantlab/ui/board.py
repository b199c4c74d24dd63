"""The columns of the Try tab as Gradio updates: what each part shows for the state it is in.

``PARTS`` updates a column, always in the same order; a part that need not change is skipped.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import gradio as gr

from quantlab.catalog.table import Catalog
from quantlab.lab.outcome import Outcome
from quantlab.lab.plan import MAX_PLANS, Plan
from quantlab.ui.plans import nearest_plan
from quantlab.ui.state import Result, Shown
from quantlab.ui.try_view import figures, head, label

__all__ = ["PARTS", "board", "column", "images", "picture", "pictures", "quiet", "state_of"]

PARTS = 4
"""Updates of one column: head, image, nearest button, figures."""

Update = Any


def picture(png: bytes | None) -> Any:
    """A stored PNG as Gradio's image components take it."""
    if png is None:
        return None
    from PIL import Image

    return Image.open(io.BytesIO(png)).convert("RGB")


def quiet(columns: int) -> list[Update]:
    """Leave ``columns`` columns as they are."""
    return [gr.skip() for _ in range(columns * PARTS)]


def state_of(outcome: Outcome) -> str:
    """``done``, ``stopped`` or ``failed``."""
    if outcome.error is None:
        return "done"
    return "stopped" if outcome.error.stage == "stopped" else "failed"


def column(
    index: int,
    plan: str,
    shown: Shown,
    *,
    state: str = "idle",
    text: str = "",
    instead: str | None = None,
) -> list[Update]:
    """The updates of one column; a result that is there wins over ``state``."""
    result = shown.get(plan)
    if result is not None:
        state, text = state_of(result.outcome), ""
    image = picture(result.png) if result else None
    alt = f"Image of {label(index, plan)}"
    table = figures(result, shown.reference, first=index == 0) if result else ""
    return [
        head(index, plan, state, text, result),
        gr.update(value=image, visible=image is not None, label=alt),
        gr.update(value=f"Use {instead} instead", visible=instead is not None),
        table,
    ]


def ahead(index: int, plan: str, state: str, text: str) -> list[Update]:
    """Only the head of a column: for progress, which must not send images again."""
    return [head(index, plan, state, text), gr.skip(), gr.skip(), gr.skip()]


def board(
    plans: Sequence[str], shown: Shown, catalog: Catalog, *, state: str = "idle"
) -> list[Update]:
    """The updates of all six columns for these plans; hidden ones are left alone."""
    updates: list[Update] = []
    for index, plan in enumerate(plans):
        updates += column(index, plan, shown, state=state, instead=instead_of(plan, shown, catalog))
    return updates + quiet(MAX_PLANS - len(plans))


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


def images(plans: Sequence[str], shown: Shown) -> list[tuple[str, str]]:
    """Label and plan of each column that has an image, for the slider's two lists."""
    found = []
    for index, plan in enumerate(plans):
        result = shown.get(plan)
        if result is not None and result.png is not None:
            found.append((label(index, plan), plan))
    return found


def pictures(plans: Iterable[str | None], shown: Shown) -> tuple[Any, ...]:
    """The pictures of ``plans``; None for one that has none."""
    results: list[Result | None] = [shown.get(plan) if plan else None for plan in plans]
    return tuple(picture(result.png) if result else None for result in results)
