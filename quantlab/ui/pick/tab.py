"""The Pick tab: controls in one line, the answer in words, the table of everything.

Handlers are functions of the services and plain values; ``build_pick`` lays out and wires.
"""

from __future__ import annotations

import gradio as gr

from quantlab.catalog.columns import ASKED, HARDWARE, LIBRARIES
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.ui.named import QUIET, Call, Parts, Updates, only, wire
from quantlab.ui.pick import answer_view
from quantlab.ui.pick import view as pick_view
from quantlab.ui.pick.answer_view import Query
from quantlab.ui.pick.query import (
    MAX_ADDRESS,
    QUESTION,
    choices_of,
    default_query,
    from_address,
    read_query,
    rows_of,
)
from quantlab.ui.pick.sheet_view import beside
from quantlab.ui.services import Services
from quantlab.ui.theme import HIDDEN, script
from quantlab.words.units import GIB

__all__ = ["ask", "build_pick", "memory_of", "restore"]

BITS = (1, 2, 3, 4, 5, 6, 8)
MEMORY_CHOICES = [("any", ""), *((f"{n} GB", str(n)) for n in (6, 8, 12, 16, 24, 32, 48, 80))]
"""Sizes of common cards; any other number may be typed."""
FIND = (
    '<div class="ql-find"><label>Search <input type="search" autocomplete="off" '
    'placeholder="a name, a verdict, a reason"></label><span class="ql-found" role="status"></span>'
    '</div><div class="ql-scroll">${value}</div>'
    '<dialog class="ql-sheet" aria-label="Claims and their sources">'
    '<button type="button" class="ql-button ql-close" data-close>Close</button>'
    '<div class="ql-sheet-body"></div></dialog>'
)


def ask(call: Call) -> Updates:
    """Answer and table for the controls, or one sentence and the table as it was."""
    catalog = call.services.catalog
    try:
        query = read_query(call.given)
        rows, choices = rows_of(query), choices_of(query)
    except InputError as error:
        return {"answer": answer_view.problem(str(error))}
    found = answer_view.answer(rows, query, catalog, choices)
    return {"answer": found, "table": pick_view.table(rows, catalog)}


def memory_of(call: Call) -> Updates:
    """The memory control: a card brings its own, anything else leaves the choice."""
    card = load_gpus().get(call.given["hardware"] or "")
    if card is None:
        return {"memory": gr.update(choices=MEMORY_CHOICES, interactive=True)}
    own = [(f"{card.bytes / GIB:.1f} GiB", "")]
    return {"memory": gr.update(choices=own, value="", interactive=False)}


def restore(call: Call) -> Updates:
    """The controls as the address has them; as they are where that is nothing that fits."""
    return from_address(str(call.given["address"] or "")) or {}


def build_pick(services: Services) -> Parts:
    """Lay the tab out and wire what stays within it; gives its components by name.

    Those of the question are called as in ``QUESTION``.
    """
    catalog = services.catalog
    query = default_query(catalog)
    rows = rows_of(query)

    def claims_of(asked: object) -> str:
        key, _, column = str(asked).partition("|")
        return pick_view.claims(key, column, catalog) + beside(key)

    question = _controls(catalog, query)
    parts = {
        **question,
        "answer": gr.HTML(
            answer_view.answer(rows, query, catalog, choices_of(query)),
            elem_id="ql-answer",
            apply_default_css=False,
            js_on_load=script("answer.js"),
        ),
        "table": gr.HTML(
            pick_view.table(rows, catalog),
            elem_id="ql-table",
            apply_default_css=False,
            html_template=FIND,
            js_on_load=script("table.js"),
            server_functions=[claims_of],
        ),
        "address": gr.Textbox(visible=HIDDEN, max_length=MAX_ADDRESS, elem_id="ql-address"),
    }
    changes = [part.change for part in question.values()]
    answered = only(parts, "answer", "table")
    wire(changes, ask, services, question, answered, trigger_mode="always_last", **QUIET)
    hardware, memory = only(parts, "hardware"), only(parts, "memory")
    wire(parts["hardware"].change, memory_of, services, hardware, memory, **QUIET)
    gr.on(
        [part.input for part in question.values()],
        None,
        inputs=list(question.values()),
        js=script("remember.js"),
        show_progress="hidden",
        api_visibility="private",
    )
    return parts


def _cards() -> list[tuple[str, str]]:
    """The cards of data/gpus, smallest first, with the memory that counts."""
    return [(f"{gpu.name}, {gpu.bytes / GIB:.1f} GiB", gpu.id) for gpu in load_gpus().values()]


def _controls(catalog: Catalog, query: Query) -> Parts:
    models = [("any", ""), *((model.name, model.id) for model in catalog.models.values())]
    with gr.Row(elem_classes="ql-controls"):
        hardware = gr.Dropdown(
            [*((row.chosen, row.id) for row in HARDWARE), *_cards()],
            value=query.gpu or query.hardware,
            label="Hardware or card",
            min_width=170,
        )
        memory = gr.Dropdown(
            MEMORY_CHOICES,
            value=f"{query.memory_gb:g}" if query.memory_gb else "",
            label="Memory",
            allow_custom_value=True,
            min_width=110,
        )
        bits = gr.Dropdown(
            [("any", ""), *((str(n), str(n)) for n in BITS)], value="", label="Bits", min_width=90
        )
        model = gr.Dropdown(models, value=query.model or "", label="Model", min_width=140)
        library = gr.Dropdown(
            [("either", ""), *((row.chosen, row.id) for row in LIBRARIES)],
            value=query.library or "",
            label="Library",
            min_width=130,
        )
        needs = gr.Dropdown(
            [(row.chosen, row.id) for row in ASKED],
            value=[],
            multiselect=True,
            label="It must have",
            elem_classes="ql-needs",
            min_width=170,
        )
    chosen = (hardware, memory, bits, model, library, needs)
    return dict(zip(QUESTION, chosen, strict=True))
