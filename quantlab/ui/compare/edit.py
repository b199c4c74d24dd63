"""Changes to the columns and controls of the Try tab, by the visitor or the Pick tab.

Every handler ends in ``lay_out``: number of columns, then what each holds and shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.own.describe import defaults_text
from quantlab.catalog.schema import Model
from quantlab.errors import InputError
from quantlab.ui.compare.board import board, instead_of, pictures
from quantlab.ui.compare.fields import anew
from quantlab.ui.compare.plans import Column, choices, column_of, encoder_of, plan_text
from quantlab.ui.compare.run import script_of
from quantlab.ui.compare.view import banner, code_box
from quantlab.ui.pick.tab import best_schemes
from quantlab.ui.services import Services
from quantlab.ui.state import ROWS, Shown, columns_of, read_comparison
from quantlab.words.comparison import MAX_PLANS

__all__ = [
    "MIN_COLUMNS",
    "add",
    "change_model",
    "code",
    "go_to_try",
    "lay_out",
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
    columns: Sequence[Column],
    shown: Shown,
    model: Model,
    services: Services,
    *,
    choose_anew: bool = False,
) -> list[Update]:
    """Number of columns, then visibility of each, both choosers of each, and the board.

    With ``choose_anew`` the choosers also get the choices that ``model`` has.
    """
    columns = list(columns)[:MAX_PLANS]
    plans = [plan_text(item, model) for item in columns]
    known = _normal(plans, model, services)
    padded = [*columns, *[Column("") for _ in range(MAX_PLANS - len(columns))]]
    groups = [gr.update(visible=index < len(columns)) for index in range(MAX_PLANS)]
    values = [value for item in padded for value in (item.transformer, item.encoder)]
    choosers: list[Update] = values  # as they are: an update costs Gradio ten times as much
    if choose_anew:
        anew = zip(chooser_updates(model, services), values, strict=True)
        choosers = [{**its, "value": value} for its, value in anew]
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
    return [go_to_try(), *lay_out(columns, shown, _model(services, values), services)]


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
    return [go_to_try(), *lay_out(columns, shown, model, services)]


def go_to_try() -> Update:
    """The tabs, with Try in front."""
    return gr.update(selected="try")


def same_model(model_id: str) -> str:
    """The model that is chosen when the visitor comes to the list: see ``change_model``."""
    return model_id


def change_model(services: Services, model_id: str, before: str) -> list[Update]:
    """The defaults of another model and what its columns may choose.

    Nothing where it is the one of ``before``: leaving the list counts as input to Gradio.
    Gives the model, the settings that come anew with one, the model, then the choosers' choices.
    """
    rows = [row for row in ROWS if row.anew]
    if model_id == before:
        return [gr.skip() for _ in range(2 + len(rows) + 2 * MAX_PLANS)]
    model = _model(services, [model_id])
    return [
        gr.update(info=defaults_text(model)),
        *(anew(row, model) for row in rows),
        model_id,
        *chooser_updates(model, services),
    ]


def chooser_updates(model: Model, services: Services) -> list[Update]:
    """Choices of the six pairs of choosers for ``model``."""
    transformer = model.components[0]
    pair = [
        gr.update(choices=choices(model, transformer, services.catalog)),
        gr.update(choices=choices(model, encoder_of(model), services.catalog)),
    ]
    return pair * MAX_PLANS


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
