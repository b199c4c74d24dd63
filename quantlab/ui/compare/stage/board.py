"""The columns of the Compare tab as updates: what each part shows for the state it is in.

The parts of column N are ``head-N``, ``image-N``, ``instead-N`` and ``figures-N``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.ui.compare.plans import nearest_plan
from quantlab.ui.compare.stage.difference import USUAL, difference
from quantlab.ui.compare.stage.measured_view import warnings_of
from quantlab.ui.compare.stage.view import difference_note, figures, head, label
from quantlab.ui.named import Updates
from quantlab.ui.state import Result, Shown
from quantlab.words.outcome import Outcome
from quantlab.words.plan import Plan

__all__ = [
    "ahead",
    "board",
    "column",
    "difference_updates",
    "ended",
    "images",
    "instead_of",
    "picture",
    "pictures",
    "predicted_bytes",
    "slider_updates",
    "state_of",
]


def picture(png: bytes | None) -> str | None:
    """The path of a stored PNG in Gradio's cache, from where it is served as it is."""
    return save_bytes_to_cache(png, "image.png", get_upload_folder()) if png else None


def state_of(outcome: Outcome) -> str:
    """``done``, ``stopped`` or ``failed``."""
    if outcome.error is None:
        return "done"
    return "stopped" if outcome.error.stage == "stopped" else "failed"


def column(
    index: int,
    plan: str,
    shown: Shown,
    catalog: Catalog,
    *,
    state: str = "idle",
    instead: str | None = None,
    predicted: int | None = None,
) -> Updates:
    """The updates of one column; a result that is there wins over ``state``."""
    result = shown.get(plan)
    if result is not None:
        state = state_of(result.outcome)
    image = picture(result.png) if result else None
    alt = f"Image of {label(index, plan)}"
    table = figures(result, shown.reference, first=index == 0) if result else ""
    return {
        f"head-{index}": head(
            index, plan, state, "", result, predicted, warnings_of(plan, catalog)
        ),
        f"image-{index}": gr.update(value=image, label=alt),
        f"instead-{index}": gr.update(
            value=f"Use {instead} instead" if instead else "", interactive=bool(instead)
        ),
        f"figures-{index}": table,
    }


def ahead(index: int, plan: str, state: str, catalog: Catalog, text: str = "") -> Updates:
    """Only the head of a column: for progress, which must not send images again."""
    warnings = warnings_of(plan, catalog)
    return {f"head-{index}": head(index, plan, state, text, warnings=warnings)}


def ended(index: int, plan: str, result: Result) -> Updates:
    """Only the head of a column that has its result."""
    return {f"head-{index}": head(index, plan, state_of(result.outcome), result=result)}


def board(
    plans: Sequence[str], shown: Shown, model: Model, catalog: Catalog, *, state: str = "idle"
) -> Updates:
    """The updates of the columns of these plans; hidden ones are left alone."""
    updates: dict[str, Any] = {}
    for index, plan in enumerate(plans):
        updates |= column(
            index,
            plan,
            shown,
            catalog,
            state=state,
            instead=instead_of(plan, shown, catalog),
            predicted=predicted_bytes(plan, model, catalog),
        )
    return updates


def predicted_bytes(plan: str, model: Model, catalog: Catalog) -> int | None:
    """Predicted bytes of the weights of ``plan``, or None where that cannot be said."""
    try:
        return predict(model.id, parse_plan(plan, model, catalog), catalog=catalog).total_bytes
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


def images(plans: Sequence[str], shown: Shown) -> list[tuple[str, str]]:
    """Label and plan of each column that has an image, for the slider's two lists."""
    found = []
    for index, plan in enumerate(plans):
        result = shown.get(plan)
        if result is not None and result.png is not None:
            found.append((label(index, plan), plan))
    return found


def slider_updates(plans: Sequence[str], shown: Shown, *, choose: bool = True) -> Updates:
    """What stands under the columns, see ``overlay``; empty without two images.

    Without ``choose`` the visitor's own choice of images stays.
    """
    found = images(plans, shown)
    if len(found) < 2:
        return {
            "slider": gr.update(value=None),
            "difference": gr.update(value=None),
            "difference-note": "",
        }
    others = found[1:] if shown.reference is shown.get(found[0][1]) else found
    if not choose:
        both = gr.update(choices=found)
        return {"left": both, "right": both, "subtract": gr.update(choices=others)}
    left, right = found[0][1], found[-1][1]
    return {
        "left": gr.update(choices=found, value=left),
        "right": gr.update(choices=found, value=right),
        "slider": gr.update(value=pictures((left, right), shown)),
        "subtract": gr.update(choices=others, value=right),
        "times": gr.update(value=USUAL),
        **difference_updates(right, USUAL, shown),
    }


def difference_updates(plan: str | None, times: int, shown: Shown) -> Updates:
    """The picture of ``plan``'s difference from the reference, and what it says."""
    result, reference = shown.get(plan or ""), shown.reference
    if result is None or result.png is None:
        return _difference(None, "Choose an image.")
    if reference is None or reference.png is None:
        return _difference(None, "The reference has no image to subtract.")
    found = difference(result.png, reference.png, times)
    if not found.largest:
        return _difference(found.image, "Black all over: not one pixel differs.")
    return _difference(
        found.image,
        f"Each channel’s difference from the reference, {times} times; black is equal. "
        f"{found.share:.0%} of the pixels differ, at most by {found.largest} of 255.",
    )


def _difference(image: Any, text: str) -> Updates:
    return {"difference": gr.update(value=image), "difference-note": difference_note(text)}


def pictures(plans: Iterable[str | None], shown: Shown) -> tuple[str | None, ...]:
    """The pictures of ``plans``; None for one that has none."""
    results: list[Result | None] = [shown.get(plan) if plan else None for plan in plans]
    return tuple(picture(result.png) if result else None for result in results)
