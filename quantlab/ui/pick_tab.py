"""The Pick tab: controls in one line, the answer in words, the table of everything.

Handlers are functions of the services and plain values; ``build_pick`` lays out and wires.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from types import MethodType

import gradio as gr

from quantlab.catalog.machine import this_machine
from quantlab.catalog.pick import Recommendation, recommend
from quantlab.catalog.schema import HARDWARE, LIBRARIES, NEEDS
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.ui import answer_view, pick_view
from quantlab.ui.answer_view import Query
from quantlab.ui.theme import script
from quantlab.ui.words import HARDWARE_LABELS, NEED_LABELS

__all__ = ["PickTab", "ask", "best_schemes", "build_pick", "default_query", "restore"]

BITS = (1, 2, 3, 4, 5, 6, 8)
MEMORY_GIB = (8, 12, 16, 24, 32, 48, 80)
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


def default_query(catalog: Catalog) -> Query:
    """What this machine is, as far as that can be told without importing torch.

    On a Space the machine is not the visitor's: there the question starts from a 12 GiB NVIDIA
    card, the one most people ask about.
    """
    full = "flux1-dev" if "flux1-dev" in catalog.models else None
    if os.environ.get("SPACE_ID"):
        return Query(hardware="cuda", model=full, memory_gib=12)
    hardware = this_machine().hardware[-1]
    mini = "flux-mini" if "flux-mini" in catalog.models else None
    return Query(hardware=hardware, model=mini if hardware == "cpu" else full)


def read_query(
    hardware: str | None,
    memory_gib: str | None,
    bits: str | None,
    model: str | None,
    library: str | None,
    needs: list[str] | None,
) -> Query:
    """The controls as a query.

    Raises:
        InputError: names the control that holds what it may not.
    """
    if hardware not in HARDWARE:
        raise InputError("hardware", "choose one of the list")
    return Query(
        hardware=hardware,
        memory_gib=_number("memory", memory_gib),
        bits=float(bits) if bits else None,
        model=model or None,
        library=library or None,
        needs=tuple(need for need in needs or () if need in NEEDS),
    )


def _number(part: str, text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError as error:
        raise InputError(part, f"{text!r:.40} is not a number of GiB") from error


@lru_cache(maxsize=256)
def _recommend(query: Query) -> tuple[Recommendation, ...]:
    return tuple(
        recommend(
            hardware=query.hardware,
            bits=query.bits,
            needs=query.needs,
            library=query.library,
            model=query.model,
            memory_gib=query.memory_gib,
        )
    )


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
        rows = _recommend(query)
    except InputError as error:
        return answer_view.problem(str(error)), gr.skip()
    return answer_view.answer(rows, query, catalog), pick_view.table(rows, catalog)


def best_schemes(
    catalog: Catalog,
    hardware: str | None,
    memory_gib: str | None,
    bits: str | None,
    model: str | None,
    library: str | None,
    needs: list[str] | None,
) -> list[str]:
    """The schemes that the answer names, in its order."""
    query = read_query(hardware, memory_gib, bits, model, library, needs)
    found = answer_view.picks(_recommend(query), catalog)
    return [row.scheme for _, row in found if row.scheme]


def build_pick(catalog: Catalog) -> PickTab:
    """Lay the tab out and wire what stays within it."""
    query = default_query(catalog)
    rows = _recommend(query)

    def claims_of(asked: object) -> str:
        key, _, column = str(asked).partition("|")
        return pick_view.claims(key, column, catalog)

    controls = _controls(catalog, query)
    found = gr.HTML(
        answer_view.answer(rows, query, catalog),
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
        _recommend(read_query(*kept))
    except (InputError, ValueError):
        return as_they_are
    return kept


def _controls(catalog: Catalog, query: Query) -> tuple[gr.components.Component, ...]:
    models = [("any", ""), *((model.name, model.id) for model in catalog.models.values())]
    with gr.Row(elem_classes="ql-controls"):
        hardware = gr.Dropdown(
            [(HARDWARE_LABELS[name], name) for name in HARDWARE],
            value=query.hardware,
            label="Hardware",
            min_width=130,
        )
        memory = gr.Dropdown(
            [("any", ""), *((f"{n} GiB", str(n)) for n in MEMORY_GIB)],
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
    needs = gr.CheckboxGroup(
        [(NEED_LABELS[name], name) for name in NEEDS],
        label="It must have",
        elem_classes="ql-needs",
    )
    return hardware, memory, bits, model, library, needs
