"""The Pick tab: controls in one line, the answer in words, the table of everything.

Handlers are functions of the services and plain values; ``build_pick`` lays out and wires.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MethodType

import gradio as gr

from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.schema import HARDWARE, LIBRARIES, NEEDS
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.ui.pick import answer_view
from quantlab.ui.pick import view as pick_view
from quantlab.ui.pick.answer_view import Query
from quantlab.ui.pick.query import default_query, proposals_of, read_query, rows_of
from quantlab.ui.pick.sheet_view import beside
from quantlab.ui.theme import script
from quantlab.ui.words import GIB, HARDWARE_LABELS, NEED_LABELS

__all__ = ["PickTab", "ask", "best_schemes", "build_pick", "restore"]

BITS = (1, 2, 3, 4, 5, 6, 8)
MEMORY_CHOICES = [("any", ""), *((f"{n} GiB", str(n)) for n in (6, 8, 12, 16, 24, 32, 48, 80))]
"""Sizes of common cards; any other number may be typed."""
FIND = (
    '<div class="ql-find"><label>Search <input type="search" autocomplete="off" '
    'placeholder="a name, a verdict, a reason"></label><span class="ql-found" role="status"></span>'
    '</div><div class="ql-scroll">${value}</div>'
    '<dialog class="ql-sheet" aria-label="Claims and their sources">'
    '<button type="button" class="ql-button ql-close" data-close>Close</button>'
    '<div class="ql-sheet-body"></div></dialog>'
)


@dataclass(frozen=True)
class PickTab:
    """What the rest of the page needs of this tab."""

    answer: gr.HTML
    table: gr.HTML
    controls: tuple[gr.components.Component, ...]
    kept: gr.BrowserState
    """The controls as this browser last had them."""


def ask(
    catalog: Catalog,
    hardware: str | None,
    memory_gib: str | None,
    bits: str | None,
    model: str | None,
    library: str | None,
    needs: list[str] | None,
) -> tuple[object, object]:
    """Answer and table for the controls, or one sentence and the table as it was."""
    try:
        query = read_query(hardware, memory_gib, bits, model, library, needs)
        rows, proposals = rows_of(query), proposals_of(query)
    except InputError as error:
        return answer_view.problem(str(error)), gr.skip()
    found = answer_view.answer(rows, query, catalog, proposals)
    return found, pick_view.table(rows, catalog)


def memory_of(hardware: str | None) -> object:
    """The memory control: a card brings its own, anything else leaves the choice."""
    card = load_gpus().get(hardware or "")
    if card is None:
        return gr.update(choices=MEMORY_CHOICES, interactive=True)
    own = [(f"{card.bytes / GIB:.1f} GiB", "")]
    return gr.update(choices=own, value="", interactive=False)


def best_schemes(
    catalog: Catalog,
    hardware: str | None,
    memory_gib: str | None,
    bits: str | None,
    model: str | None,
    library: str | None,
    needs: list[str] | None,
) -> list[tuple[str, str]]:
    """The schemes that the answer names, in its order: the transformer's and the text encoder's,
    "" where it keeps the model's dtype."""
    query = read_query(hardware, memory_gib, bits, model, library, needs)
    if proposals := proposals_of(query):
        named = [(p.transformer or "", p.encoder or "") for p in proposals]
        return [pair for pair in dict.fromkeys(named) if any(pair)]
    found = answer_view.picks(rows_of(query), catalog)
    return [(row.scheme, "") for _, row in found if row.scheme]


def build_pick(catalog: Catalog) -> PickTab:
    """Lay the tab out and wire what stays within it."""
    query = default_query(catalog)
    rows = rows_of(query)

    def claims_of(asked: object) -> str:
        key, _, column = str(asked).partition("|")
        return pick_view.claims(key, column, catalog) + beside(key)

    controls = _controls(catalog, query)
    found = gr.HTML(
        answer_view.answer(rows, query, catalog, proposals_of(query)),
        elem_id="ql-answer",
        apply_default_css=False,
        js_on_load=script("answer.js"),
    )
    table = gr.HTML(
        pick_view.table(rows, catalog),
        elem_id="ql-table",
        apply_default_css=False,
        html_template=FIND,
        js_on_load=script("table.js"),
        server_functions=[claims_of],
    )
    gr.on(
        [control.change for control in controls],
        MethodType(ask, catalog),
        inputs=list(controls),
        outputs=[found, table],
        queue=False,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )
    controls[0].change(
        memory_of,
        controls[0],
        controls[1],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    kept = gr.BrowserState(None, storage_key="quantlab-pick", secret="quantlab")
    gr.on(
        [control.input for control in controls],
        None,
        inputs=list(controls),
        outputs=kept,
        js="(...values) => [values]",
        show_progress="hidden",
    )
    return PickTab(found, table, controls, kept)


def restore(kept: object) -> list[object]:
    """The controls as this browser kept them; as they are where that is nothing that fits."""
    as_they_are: list[object] = [gr.skip() for _ in range(6)]
    if not isinstance(kept, list) or len(kept) != len(as_they_are):
        return as_they_are
    if not all(isinstance(value, str) for value in kept[:-1]) or not isinstance(kept[-1], list):
        return as_they_are
    try:
        rows_of(read_query(*kept))
    except (InputError, ValueError):
        return as_they_are
    return kept


def _cards() -> list[tuple[str, str]]:
    """The cards of data/gpus, smallest first, with the memory that counts."""
    return [(f"{gpu.name}, {gpu.bytes / GIB:.1f} GiB", gpu.id) for gpu in load_gpus().values()]


def _controls(catalog: Catalog, query: Query) -> tuple[gr.components.Component, ...]:
    models = [("any", ""), *((model.name, model.id) for model in catalog.models.values())]
    with gr.Row(elem_classes="ql-controls"):
        hardware = gr.Dropdown(
            [*((HARDWARE_LABELS[name], name) for name in HARDWARE), *_cards()],
            value=query.gpu or query.hardware,
            label="Hardware or card",
            min_width=170,
        )
        memory = gr.Dropdown(
            MEMORY_CHOICES,
            value=f"{query.memory_gib:g}" if query.memory_gib else "",
            label="Memory",
            allow_custom_value=True,
            min_width=110,
        )
        bits = gr.Dropdown(
            [("any", ""), *((str(n), str(n)) for n in BITS)], value="", label="Bits", min_width=90
        )
        model = gr.Dropdown(models, value=query.model or "", label="Model", min_width=140)
        library = gr.Dropdown(
            [("either", ""), *((name, name) for name in LIBRARIES)],
            value=query.library or "",
            label="Library",
            min_width=130,
        )
        needs = gr.Dropdown(
            [(NEED_LABELS[name], name) for name in NEEDS],
            value=[],
            multiselect=True,
            label="It must have",
            elem_classes="ql-needs",
            min_width=170,
        )
    return hardware, memory, bits, model, library, needs
