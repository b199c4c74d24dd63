"""The page opened on something: what its address asks for, or a stored result that was chosen.

Nothing is run by that.
"""

from __future__ import annotations

import gradio as gr

from quantlab.catalog.advice import beforehand
from quantlab.catalog.own.kept import defaults_text
from quantlab.catalog.schema import Model
from quantlab.errors import InputError, StoreError
from quantlab.ui.compare.edit import go_to_try, lay_out
from quantlab.ui.compare.fields import anew as refilled
from quantlab.ui.compare.fields import limits_line, of_model
from quantlab.ui.compare.pictures import pictures_box
from quantlab.ui.compare.plans import column_of, first_comparison
from quantlab.ui.compare.share import Seen, link_to, opened, query_of, result, stored
from quantlab.ui.compare.stage.board import board
from quantlab.ui.compare.stage.view import banner
from quantlab.ui.named import Call, Updates
from quantlab.ui.state import ROWS, Shown, read_comparison
from quantlab.words.comparison import Comparison

__all__ = ["open_page", "open_result", "undo", "went"]


def open_page(call: Call) -> Updates:
    """What the page's address asks for."""
    return {**_asked(call), "arrived": "yes"}


def _asked(call: Call) -> Updates:
    try:
        seen = opened(query_of(call.request), call.services)
        if seen is not None:
            return _fill(call, seen.shown, seen.lead)
    except (InputError, StoreError) as error:
        text = f"This link cannot be opened. {error}. The page is as it starts."
        return {"banner": banner(text), **_start(call)}
    return {"banner": "", **_start(call)}


def open_result(call: Call) -> Updates:
    """The stored result that somebody chose, in its comparison.

    Raises:
        gr.Error: it is not there any more, or this visitor's own comparison is still running.
    """
    wanted = str(call.event.get("result", ""))
    if call.services.jobs.busy(call.session):
        raise gr.Error("Your comparison is still running; stop it first.", print_exception=False)
    try:
        return _fill(call, result(wanted, call.services), "Opened from the results.")
    except (InputError, StoreError) as error:
        raise gr.Error(f"This result cannot be opened. {error}.", print_exception=False) from error


def went(call: Call) -> Updates:
    """The comparison of the address that the visitor went back or forward to.

    Raises:
        gr.Error: this visitor's own comparison is still running, or there is none any more.
    """
    query, services = call.event.get("query"), call.services
    if not isinstance(query, str):
        return {}  # only the question of Pick is another one
    if services.jobs.busy(call.session):
        raise gr.Error("Your comparison is still running; stop it first.", print_exception=False)
    try:
        seen = opened(query, services) or Seen(stored(first_comparison(), services), "")
        found = _fill(call, seen.shown, seen.lead)
    except (InputError, StoreError) as error:
        text = f"This address cannot be opened. {error}."
        raise gr.Error(text, print_exception=False) from error
    told = found["banner"] if seen.lead else ""
    return {**{name: value for name, value in found.items() if name != "tabs"}, "banner": told}


def _fill(call: Call, shown: Shown, lead: str) -> Updates:
    """The page with ``shown``; where its model is another than now, with what that may choose.

    Raises:
        InputError: the model is gone from the catalogue.
    """
    comparison, services = shown.comparison, call.services
    assert comparison is not None
    model = services.catalog.models.get(comparison.model)
    if model is None:
        raise InputError("model", f"this page does not know {comparison.model} any more")
    columns = [column_of(plan, model) for plan in comparison.plans]
    notes = beforehand(model, [comparison.prompt], comparison.sequence_length)
    anew = model.id != call.given["model"]
    controls = {
        **_fields(comparison, model, anew=anew),
        **lay_out(columns, shown, model, services, choose_anew=anew),
    }
    return {
        "tabs": go_to_try(),
        "banner": banner(" ".join((lead, _told(comparison, shown), *notes)), problem=False),
        "shown": shown,
        "pictures": pictures_box(model, services, comparison.references),
        "link": link_to(comparison, call.request, services),
        **{name: to for name, to in controls.items() if not _holds(call, name, to)},
    }


def _holds(call: Call, name: str, value: object) -> bool:
    """Whether that control says so already: most do, and each update costs server and browser."""
    held = call.given.get(name)
    return name in call.given and type(held) is type(value) and held == value


def _fields(comparison: Comparison, model: Model, *, anew: bool) -> Updates:
    """The model's and settings' controls; with ``anew`` also what the model changes about them."""
    values = {row.key: comparison.get(row.key) for row in ROWS}
    if not anew:
        blank = {row.key: of_model(row, model) for row in ROWS}
        filled = {key: blank[key] if value is None else value for key, value in values.items()}
        return {"model": model.id, **filled}
    rows = {row.key: refilled(row, model, values[row.key]) for row in ROWS}
    about = gr.update(value=model.id, info=defaults_text(model))
    return {"model": about, "before": model.id, "limits": limits_line(model), **rows}


def _told(comparison: Comparison, shown: Shown) -> str:
    found, count = len(shown.results), len(comparison.plans)
    if not found:
        return "Nothing of it was measured on this machine; press Run for that."
    some = "All" if found == len(set(map(str, comparison.plans))) else f"{found} of {count}"
    return f"{some} results are stored ones; nothing was run now."


def _start(call: Call) -> Updates:
    """The page as it is built, with what is known of its comparison: a fresh install shows the
    gallery's. The link needs the visitor's address."""
    services = call.services
    comparison = read_comparison(call.given, services.catalog)
    link = {"link": link_to(comparison, call.request, services)}
    try:
        shown = stored(comparison, services)
    except StoreError:  # the Results tab says so
        return link
    if not shown.results:
        return link
    plans = [str(plan) for plan in comparison.plans]
    model = services.catalog.models[comparison.model]
    return {**link, "shown": shown, **board(plans, shown, model, services.catalog)}


def undo(call: Call) -> Updates:
    """The controls as they were for what is shown."""
    shown = call.given["shown"]
    if shown.comparison is None:
        return {}
    found = dict(_fill(call, shown, ""))
    return {name: value for name, value in found.items() if name not in ("tabs", "banner")}
