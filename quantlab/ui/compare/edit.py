"""Changes to the columns and controls of the Compare tab, by the visitor or the Pick tab."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import gradio as gr

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.machine import this_machine
from quantlab.catalog.own.kept import defaults_text
from quantlab.catalog.schema import Model
from quantlab.errors import InputError
from quantlab.ui.compare.fields import anew, limits_line
from quantlab.ui.compare.pictures import digests_of, pictures_box
from quantlab.ui.compare.plans import Column, choices, column_of, encoder_of, plan_text
from quantlab.ui.compare.run import script_of
from quantlab.ui.compare.stage.board import board, instead_of
from quantlab.ui.compare.stage.view import banner, code_box
from quantlab.ui.named import Call, Updates
from quantlab.ui.pick.query import QUESTION, best_schemes, model_named
from quantlab.ui.services import Services
from quantlab.ui.state import ROWS, Shown, columns_of, read_comparison
from quantlab.words.comparison import MAX_PLANS
from quantlab.words.plan import DTYPE_SCHEMES, Plan, without_marks

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
    "try_best",
    "try_scheme",
    "use_instead",
]

MIN_COLUMNS = 2


def lay_out(
    columns: Sequence[Column],
    shown: Shown,
    model: Model,
    services: Services,
    *,
    choose_anew: bool = False,
) -> Updates:
    """How many columns there are, what each holds, and the board.

    With ``choose_anew`` the choosers also get the choices that ``model`` has.
    """
    columns = list(columns)[:MAX_PLANS]
    plans = [plan_text(item, model) for item in columns]
    padded = [*columns, *[Column("") for _ in range(MAX_PLANS - len(columns))]]
    updates: dict[str, Any] = {"count": len(columns)}
    for index, item in enumerate(padded):
        # As they are: an update costs Gradio ten times as much as a value.
        updates[f"transformer-{index}"] = item.transformer
        updates[f"encoder-{index}"] = item.encoder
    if choose_anew:
        anew = chooser_updates(model, services)
        updates |= {name: {**its, "value": updates[name]} for name, its in anew.items()}
    known = _normal(plans, model, services)
    return {**updates, **board(known, shown, model, services.catalog)}


def _normal(plans: Sequence[str], model: Model, services: Services) -> list[str]:
    """The texts that outcomes carry; a text that is no plan stays as it was typed."""
    found = []
    for text in plans:
        try:
            found.append(str(parse_plan(text, model, services.catalog)))
        except InputError:
            found.append(text)
    return found


def _model(call: Call) -> Model:
    models = call.services.catalog.models
    return models.get(str(call.given["model"])) or next(iter(models.values()))


def _laid_out(call: Call, columns: Sequence[Column]) -> Updates:
    return lay_out(columns, call.given["shown"], _model(call), call.services)


def add(call: Call) -> Updates:
    """One more column, the last one again, for the visitor to change."""
    columns = columns_of(call.given)
    return _laid_out(call, [*columns, columns[-1]])


def remove(call: Call) -> Updates:
    """One column less; two stay."""
    columns = columns_of(call.given)
    return _laid_out(call, columns[: max(MIN_COLUMNS, len(columns) - 1)])


def redraw(call: Call) -> Updates:
    """The board for what the choosers hold now: a result only where it is of that plan."""
    model, services = _model(call), call.services
    plans = _normal([plan_text(c, model) for c in columns_of(call.given)], model, services)
    return board(plans, call.given["shown"], model, services.catalog)


def use_instead(call: Call) -> Updates:
    """Put the nearest plan that runs into the column that was pressed."""
    model, services, index = _model(call), call.services, _pressed(call)
    columns = list(columns_of(call.given))
    plans = _normal([plan_text(c, model) for c in columns], model, services)
    shown, catalog = call.given["shown"], services.catalog
    instead = instead_of(plans[index], shown, catalog) if index < len(plans) else None
    if instead is not None:
        columns[index] = column_of(parse_plan(instead, model, catalog), model)
    return _laid_out(call, columns)


def _pressed(call: Call) -> int:
    """The column whose button was pressed; what comes from a browser may be anything."""
    index = call.event.get("index")
    return index if isinstance(index, int) and 0 <= index < MAX_PLANS else MAX_PLANS


def try_scheme(call: Call) -> Updates:
    """Open Compare with the scheme of a verdict as one more column, or instead of the last; beside
    the unquantized reference where the model that was asked about takes the place of another."""
    scheme, services = str(call.event.get("scheme", "")), call.services
    if scheme not in services.catalog.schemes:
        return {"tabs": go_to_try(), **_laid_out(call, columns_of(call.given))}
    model, changed, note = _taken_along(_meant(call), (), call)
    columns = [Column(model.base_dtype)] if changed else list(columns_of(call.given))
    if Column(scheme) not in columns:
        columns = [*columns[: MAX_PLANS - 1], Column(scheme)]
    laid = lay_out(columns, call.given["shown"], model, services, choose_anew=bool(changed))
    return {**changed, **laid, "tabs": go_to_try(), "banner": banner(note, problem=False)}


def try_best(call: Call) -> Updates:
    """Open Compare with the plans that the answer names, after the unquantized reference.

    On the model that was asked about where this server has a GPU; else on the one that is chosen
    there, and the page says so.
    """
    services = call.services
    asked = {name: call.given[f"pick-{name}"] for name in QUESTION}
    try:
        pairs, settings = best_schemes(services, asked)
        meant = _meant(call)
    except InputError:
        pairs, settings, meant = [], [], _model(call)
    model, changed, note = _taken_along(meant, settings, call)
    if note:  # compiling takes a CPU longer than all the rest; neither mark changes the picture
        pairs = [(without_marks(first)[0], second) for first, second in pairs]
    columns = [Column(model.base_dtype), *(_suited(pair, meant, model, services) for pair in pairs)]
    if len(columns) < MIN_COLUMNS:
        columns = list(columns_of(call.given))
    shown, anew = call.given["shown"], bool(changed)
    laid = lay_out(list(dict.fromkeys(columns)), shown, model, services, choose_anew=anew)
    told = banner(note, problem=False)
    return {**changed, **laid, "tabs": go_to_try(), "banner": told}


def _meant(call: Call) -> Model:
    """The model that Pick asks about, or the one that is chosen in Compare."""
    named = model_named(str(call.given["pick-model"] or "")) or ""
    return call.services.catalog.models.get(named, _model(call))


def _taken_along(
    meant: Model, settings: Sequence[str], call: Call
) -> tuple[Model, dict[str, Any], str]:
    """The model that a plan for ``meant`` is seen on, with what that changes of the controls, and
    what is to be said where this server, without a GPU, keeps the one that is chosen."""
    model = _model(call)
    if meant.id == model.id:
        return model, {}, ""
    if this_machine().hardware[-1] == "cpu":
        note = f"This server has no GPU: the plans for {meant.name} are seen on {model.name}. "
        return model, {}, note + f"The script under Pick stays that of {meant.name}."
    changed = {**model_updates(meant), "model": meant.id, **dict.fromkeys(settings, True)}
    return meant, {**changed, "pictures": pictures_box(meant, call.services)}, ""


def _suited(pair: tuple[str, str], meant: Model, model: Model, services: Services) -> Column:
    """A column with both schemes of ``meant``, or with the denoiser's alone where ``model`` has no
    such part; unquantized where that is, too."""
    column = Column(*pair)
    try:
        parse_plan(plan_text(column, model), model, services.catalog)
    except InputError:
        parts = dict(Plan.read(pair[0], meant.denoiser).parts) if pair[0] else {}
        return Column(parts.get(meant.denoiser, model.base_dtype))
    return column


def go_to_try() -> str:
    """Has the page turn to Compare; another text each time, since only what changes is heard."""
    return f'<i hidden data-turn="compare" data-at="{time.monotonic_ns()}"></i>'


def same_model(call: Call) -> Updates:
    """The model that is chosen when the visitor comes to the list: see ``change_model``."""
    return {"before": call.given["model"]}


def change_model(call: Call) -> Updates:
    """The defaults of another model and what its columns may choose.

    Nothing where it is the one of ``before``: leaving the list counts as input to Gradio.
    """
    if call.given["model"] == call.given["before"]:
        return {}
    model = _model(call)
    choosers = chooser_updates(model, call.services)
    if call.given["transformer-0"] in DTYPE_SCHEMES:  # the reference is what the model has
        choosers["transformer-0"] = {**choosers["transformer-0"], "value": model.base_dtype}
    info = gr.update(info=defaults_text(model))
    given = digests_of(call.given.get("reference"))[: model.limits.max_references]
    box = {"reference": ",".join(given), "pictures": pictures_box(model, call.services, given)}
    return {**model_updates(model), **box, "model": info, **choosers}


def model_updates(model: Model) -> dict[str, Any]:
    """What ``model`` changes about the settings: sizes, hints and limits together."""
    return {
        "before": model.id,
        "limits": limits_line(model),
        **{row.key: anew(row, model) for row in ROWS if row.anew},
    }


def chooser_updates(model: Model, services: Services) -> dict[str, Any]:
    """Choices of all columns' choosers for ``model``."""
    first = gr.update(choices=choices(model, model.components[0], services.catalog))
    second = gr.update(choices=choices(model, encoder_of(model), services.catalog))
    transformers = {f"transformer-{index}": first for index in range(MAX_PLANS)}
    return transformers | {f"encoder-{index}": second for index in range(MAX_PLANS)}


def code(call: Call) -> Updates:
    """The script of a column: for the result that it shows, or what it would run."""
    index, shown = _pressed(call), call.given["shown"]
    try:
        comparison = read_comparison(call.given, call.services.catalog)
    except InputError as error:
        return {"code": banner(f"No script yet. {error}.")}
    plans = [str(plan) for plan in comparison.plans]
    if index >= len(plans):
        return {"code": ""}
    if shown.comparison is not None and shown.get(plans[index]):
        comparison = shown.comparison
    return {"code": code_box(script_of(call.services, comparison, plans[index]), plans[index])}
