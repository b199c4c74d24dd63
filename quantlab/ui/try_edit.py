"""Changes to the columns and controls of the Try tab, by the visitor, the Pick tab or a link.

Every handler ends in ``lay_out``: number of columns, then what each holds and shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from quantlab.catalog.schema import Model
from quantlab.errors import InputError, StoreError
from quantlab.lab.plan import MAX_PLANS, Comparison, parse_plan
from quantlab.ui.board import CLOSER, board, instead_of, pictures, slider_updates
from quantlab.ui.pick_tab import best_schemes
from quantlab.ui.plans import Column, choices, column_of, encoder_of, plan_text
from quantlab.ui.services import Services
from quantlab.ui.share import link_to, opened, result
from quantlab.ui.state import FIELDS, Shown, columns_of, read_comparison
from quantlab.ui.try_run import script_of, session_of
from quantlab.ui.try_view import banner, code_box

__all__ = [
    "MIN_COLUMNS",
    "add",
    "change_model",
    "code",
    "lay_out",
    "open_page",
    "open_result",
    "redraw",
    "remove",
    "same_model",
    "slide",
    "try_best",
    "try_scheme",
    "use_instead",
]

MIN_COLUMNS = 2
Update = Any


def lay_out(
    columns: Sequence[Column], shown: Shown, model: Model, services: Services
) -> list[Update]:
    """Number of columns, then visibility of each, both choosers of each, and the board."""
    columns = list(columns)[:MAX_PLANS]
    plans = [plan_text(item, model) for item in columns]
    known = _normal(plans, model, services)
    padded = [*columns, *[Column("") for _ in range(MAX_PLANS - len(columns))]]
    groups = [gr.update(visible=index < len(columns)) for index in range(MAX_PLANS)]
    choosers = [
        gr.update(value=value) for item in padded for value in (item.transformer, item.encoder)
    ]
    return [len(columns), *groups, *choosers, *board(known, shown, model, services.catalog)]


def _normal(plans: Sequence[str], model: Model, services: Services) -> list[str]:
    """The texts that outcomes carry; a text that is no plan stays as it was typed."""
    found = []
    for text in plans:
        try:
            found.append(str(parse_plan(text, model, services.catalog)))
        except InputError:
            found.append(text)
    return found


def _model(services: Services, values: Sequence[Any]) -> Model:
    models = services.catalog.models
    return models.get(str(values[0])) or next(iter(models.values()))


def add(services: Services, shown: Shown, *values: Any) -> list[Update]:
    """One more column, the last one again, for the visitor to change."""
    columns = columns_of(values)
    return lay_out([*columns, columns[-1]], shown, _model(services, values), services)


def remove(services: Services, shown: Shown, *values: Any) -> list[Update]:
    """One column less; two stay."""
    columns = columns_of(values)
    kept = columns[: max(MIN_COLUMNS, len(columns) - 1)]
    return lay_out(kept, shown, _model(services, values), services)


def redraw(services: Services, shown: Shown, *values: Any) -> list[Update]:
    """The board for what the choosers hold now: a result only where it is of that plan."""
    model = _model(services, values)
    plans = _normal([plan_text(c, model) for c in columns_of(values)], model, services)
    return board(plans, shown, model, services.catalog)


def use_instead(services: Services, index: int, shown: Shown, *values: Any) -> list[Update]:
    """Put the nearest plan that runs into column ``index``."""
    model = _model(services, values)
    columns = list(columns_of(values))
    plans = _normal([plan_text(c, model) for c in columns], model, services)
    instead = instead_of(plans[index], shown, services.catalog) if index < len(plans) else None
    if instead is not None:
        columns[index] = column_of(parse_plan(instead, model, services.catalog), model)
    return lay_out(columns, shown, model, services)


def try_scheme(services: Services, event: gr.EventData, shown: Shown, *values: Any) -> list[Update]:
    """Open the Try tab with the scheme of a verdict as one more column, or instead of the last."""
    scheme = str(event._data.get("scheme", "")) if isinstance(event._data, dict) else ""
    columns = list(columns_of(values))
    if scheme in services.catalog.schemes and Column(scheme) not in columns:
        columns = [*columns[: MAX_PLANS - 1], Column(scheme)]
    return [_go_to_try(), *lay_out(columns, shown, _model(services, values), services)]


def try_best(services: Services, shown: Shown, *values: Any) -> list[Update]:
    """Open the Try tab with the schemes that the answer names, after the unquantized reference.

    ``values`` are those of the Try tab, then the six controls of the Pick tab.
    """
    model = _model(services, values)
    try:
        schemes = best_schemes(services.catalog, *values[-6:])
    except InputError:
        schemes = []
    columns = [Column(model.base_dtype), *(Column(*pair) for pair in schemes)]
    if len(columns) < MIN_COLUMNS:
        columns = list(columns_of(values[:-6]))
    return [_go_to_try(), *lay_out(columns, shown, model, services)]


def _go_to_try() -> Update:
    return gr.update(selected="try")


def same_model(model_id: str) -> str:
    """The model that is chosen when the visitor comes to the list: see ``change_model``."""
    return model_id


def change_model(services: Services, model_id: str, before: str) -> list[Update]:
    """The defaults of another model and what its columns may choose.

    Nothing where it is the one of ``before``: leaving the list counts as input to Gradio.
    Gives steps, width, height, guidance, sequence length, the model, then the choosers' choices.
    """
    if model_id == before:
        return [gr.skip() for _ in range(6 + 2 * MAX_PLANS)]
    model = _model(services, [model_id])
    d = model.defaults
    guidance = gr.update(value=d.guidance, info=guidance_note(model))
    return [
        *(d.steps, d.width, d.height, guidance, d.sequence_length, model_id),
        *chooser_updates(model, services),
    ]


def guidance_note(model: Model) -> str:
    """What guidance does in this model."""
    if model.guided:
        return "How strongly the prompt steers; 0 to 20."
    return f"{model.name} has no guidance: this changes nothing."


def chooser_updates(model: Model, services: Services) -> list[Update]:
    """Choices of the six pairs of choosers for ``model``."""
    transformer = model.components[0]
    pair = [
        gr.update(choices=choices(model, transformer, services.catalog)),
        gr.update(choices=choices(model, encoder_of(model), services.catalog)),
    ]
    return pair * MAX_PLANS


def open_page(services: Services, request: gr.Request, *values: Any) -> list[Update]:
    """What the page's address asks for.

    Gives tabs, banner, shown, fields, link, what stands under the columns, then ``lay_out``.
    """
    try:
        shown = opened(request, services)
        if shown is not None:
            return _fill(services, request, shown, "Opened from a link.")
    except (InputError, StoreError) as error:
        text = f"This link cannot be opened. {error}. The page is as it starts."
        return _start(services, request, values, banner(text))
    return _start(services, request, values, "")


def open_result(services: Services, request: gr.Request, event: gr.EventData) -> list[Update]:
    """The stored result that somebody chose, in its comparison; gives what ``open_page`` does.

    Raises:
        gr.Error: it is not there any more, or this visitor's own comparison is still running.
    """
    wanted = str(event._data.get("result", "")) if isinstance(event._data, dict) else ""
    if services.sessions.busy(session_of(request)):
        raise gr.Error("Your comparison is still running; stop it first.", print_exception=False)
    try:
        return _fill(services, request, result(wanted, services), "Opened from the results.")
    except (InputError, StoreError) as error:
        raise gr.Error(f"This result cannot be opened. {error}.", print_exception=False) from error


def _fill(services: Services, request: gr.Request, shown: Shown, lead: str) -> list[Update]:
    """The page with ``shown``.

    Raises:
        InputError: the model is gone from the catalogue.
    """
    comparison = shown.comparison
    assert comparison is not None
    model = services.catalog.models.get(comparison.model)
    if model is None:
        raise InputError("model", f"this page does not know {comparison.model} any more")
    columns = [column_of(plan, model) for plan in comparison.plans]
    return [
        _go_to_try(),
        banner(f"{lead} {_told(comparison, shown)}", problem=False),
        shown,
        *(getattr(comparison, name) for name in FIELDS),
        link_to(comparison, request, services),
        *slider_updates([str(plan) for plan in comparison.plans], shown),
        *lay_out(columns, shown, model, services),
    ]


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


def slide(shown: Shown, left: str | None, right: str | None) -> Update:
    """The two chosen images in the slider."""
    chosen = pictures((left, right), shown)
    return gr.update(value=chosen if all(chosen) else None)


def code(services: Services, index: int, shown: Shown, *values: Any) -> Update:
    """The script of column ``index``: for the result that it shows, or what it would run."""
    try:
        comparison = read_comparison(values, services.catalog)
    except InputError as error:
        return banner(f"No script yet. {error}.")
    plans = [str(plan) for plan in comparison.plans]
    if index >= len(plans):
        return ""
    if shown.comparison is not None and shown.get(plans[index]):
        comparison = shown.comparison
    return code_box(script_of(comparison, plans[index]), plans[index])
