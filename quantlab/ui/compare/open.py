"""The page opened on something: what its address asks for, or a stored result that was chosen.

Nothing is run by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from quantlab.catalog.advice import beforehand
from quantlab.catalog.own.describe import defaults_text
from quantlab.catalog.schema import Model
from quantlab.errors import InputError, StoreError
from quantlab.ui.compare.board import CLOSER, slider_updates
from quantlab.ui.compare.edit import go_to_try, lay_out
from quantlab.ui.compare.fields import anew as refilled
from quantlab.ui.compare.fields import of_model
from quantlab.ui.compare.plans import column_of
from quantlab.ui.compare.run import session_of
from quantlab.ui.compare.share import link_to, opened, result
from quantlab.ui.compare.view import banner
from quantlab.ui.services import Services
from quantlab.ui.state import FIELDS, ROWS, Shown, read_comparison
from quantlab.words.comparison import MAX_PLANS, Comparison

__all__ = ["open_page", "open_result"]

Update = Any


def open_page(services: Services, request: gr.Request, *values: Any) -> list[Update]:
    """What the page's address asks for.

    Gives tabs, banner, shown, fields, link, what stands under the columns, then ``lay_out``.
    """
    try:
        shown = opened(request, services)
        if shown is not None:
            return _fill(services, request, shown, "Opened from a link.", values[0])
    except (InputError, StoreError) as error:
        text = f"This link cannot be opened. {error}. The page is as it starts."
        return _start(services, request, values, banner(text))
    return _start(services, request, values, "")


def open_result(
    services: Services, request: gr.Request, event: gr.EventData, before: str
) -> list[Update]:
    """The stored result that somebody chose, in its comparison; gives what ``open_page`` does.

    ``before`` is the model that the page has now.

    Raises:
        gr.Error: it is not there any more, or this visitor's own comparison is still running.
    """
    wanted = str(event._data.get("result", "")) if isinstance(event._data, dict) else ""
    if services.jobs.busy(session_of(request)):
        raise gr.Error("Your comparison is still running; stop it first.", print_exception=False)
    try:
        shown = result(wanted, services)
        return _fill(services, request, shown, "Opened from the results.", before)
    except (InputError, StoreError) as error:
        raise gr.Error(f"This result cannot be opened. {error}.", print_exception=False) from error


def _fill(
    services: Services, request: gr.Request, shown: Shown, lead: str, before: str
) -> list[Update]:
    """The page with ``shown``; where ``before`` is another model, with what this one may choose.

    Raises:
        InputError: the model is gone from the catalogue.
    """
    comparison = shown.comparison
    assert comparison is not None
    model = services.catalog.models.get(comparison.model)
    if model is None:
        raise InputError("model", f"this page does not know {comparison.model} any more")
    columns = [column_of(plan, model) for plan in comparison.plans]
    notes = beforehand(model, [comparison.prompt], comparison.sequence_length)
    return [
        go_to_try(),
        banner(" ".join((lead, _told(comparison, shown), *notes)), problem=False),
        shown,
        *_fields(comparison, model, anew=model.id != before),
        link_to(comparison, request, services),
        *slider_updates([str(plan) for plan in comparison.plans], shown),
        *lay_out(columns, shown, model, services, choose_anew=model.id != before),
    ]


def _fields(comparison: Comparison, model: Model, *, anew: bool) -> list[Update]:
    """The model's and settings' controls; with ``anew`` also what the model changes about them."""
    values = {row.key: comparison.get(row.key) for row in ROWS}
    if not anew:
        blank = {row.key: of_model(row, model) for row in ROWS}
        return [model.id, *(blank[k] if value is None else value for k, value in values.items())]
    rows = [refilled(row, model, values[row.key]) for row in ROWS]
    return [gr.update(value=model.id, info=defaults_text(model)), *rows]


def _told(comparison: Comparison, shown: Shown) -> str:
    found, count = len(shown.results), len(comparison.plans)
    if not found:
        return "Nothing of it was measured on this machine; press Run for that."
    some = "All" if found == len(set(map(str, comparison.plans))) else f"{found} of {count}"
    return f"{some} results are stored ones; nothing was run now."


def _start(
    services: Services, request: gr.Request, values: Sequence[Any], text: str
) -> list[Update]:
    """The page as it is built; only the link needs the visitor's address."""
    comparison = read_comparison(values, services.catalog)
    rest = 1 + MAX_PLANS + 2 * MAX_PLANS + 4 * MAX_PLANS
    skipped = [gr.skip() for _ in range(rest)]
    return [
        gr.skip(),
        text,
        gr.skip(),
        *[gr.skip() for _ in FIELDS],
        link_to(comparison, request, services),
        *[gr.skip() for _ in range(CLOSER)],
        *skipped,
    ]
