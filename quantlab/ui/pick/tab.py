"""The Pick tab: a picture, one question, the answer; the table of everything when asked for.

Handlers are functions of the services and plain values; ``build_pick`` lays out and wires.
"""

from __future__ import annotations

import asyncio
from html import escape
from typing import Any

import gradio as gr
from gradio.context import Context

from quantlab.catalog.columns import ASKED, HARDWARE, LIBRARIES
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.table import Catalog
from quantlab.errors import QuantlabError
from quantlab.record.documents import placed_script
from quantlab.ui.blocks import Page
from quantlab.ui.check.tab import build_check
from quantlab.ui.learn.tab import build_learn
from quantlab.ui.named import QUIET, Call, Parts, Updates, only, wire, wire_shared
from quantlab.ui.pick import answer_view
from quantlab.ui.pick import view as pick_view
from quantlab.ui.pick.answer_view import Query
from quantlab.ui.pick.card_view import KEY_MARK
from quantlab.ui.pick.code_view import code_first
from quantlab.ui.pick.picture_view import picture_of_bits
from quantlab.ui.pick.query import (
    MAX_ADDRESS,
    QUESTION,
    address_of,
    answer_of,
    asked_of,
    default_query,
    from_address,
    known_of,
    read_query,
    rows_of,
    state_of,
)
from quantlab.ui.pick.sheet_view import beside
from quantlab.ui.services import Services
from quantlab.ui.theme import HIDDEN, script
from quantlab.words.settings import SETTINGS
from quantlab.words.units import GIB

__all__ = ["ask", "build_pick", "memory_of", "restore", "table_of", "went"]

BITS = (1, 2, 3, 4, 5, 6, 8)
MEMORY_CHOICES = [("any", ""), *((f"{n} GB", str(n)) for n in (6, 8, 12, 16, 24, 32, 48, 80))]
"""Sizes of common cards; any other number may be typed."""
RAM_CHOICES = [("any", ""), *((f"{n} GB", str(n)) for n in (8, 16, 32, 64, 96, 128))]
FLAGS = frozenset(row.key for row in SETTINGS if row.kind == "flag")
PROMPT = "a red fox in the snow, photograph"
"""Of the scripts to copy."""
WHOLE = (
    '<button type="button" class="ql-button" aria-expanded="false" data-whole>'
    "Show every method, with reasons</button>"
)
FIND = (
    '<div data-saved><div class="ql-find"><label>Search <input type="search" autocomplete="off" '
    'placeholder="a name, a verdict, a reason"></label><span class="ql-found" role="status"></span>'
    '<button type="button" class="ql-button" data-all aria-pressed="false">All columns</button>'
    '<button type="button" class="ql-button" data-save-table="methods">Download as CSV</button>'
    '</div><div class="ql-scroll"></div>'
    '<button type="button" class="ql-button ql-rest" data-rest hidden></button></div>'
    '<dialog class="ql-sheet" aria-label="Claims and their sources">'
    '<button type="button" class="ql-button ql-close" data-close>Close</button>'
    '<div class="ql-sheet-body"></div></dialog>'
)


def ask(call: Call) -> Updates:
    """The answer for the controls, or one sentence.

    A card or model that was typed stands in its control as it is called.
    """
    services, given = call.services, call.given
    try:
        query = read_query(given)
        answer = _answer(query, services)
    except QuantlabError as error:
        return {"answer": answer_view.problem(str(error))}
    meant = {"hardware": query.gpu or query.hardware, "model": query.model or ""}
    named = {name: value for name, value in meant.items() if value != (given[name] or "")}
    return {"answer": answer, **named}


def table_of(address: str, services: Services) -> str:
    """The whole table for the question of ``address``; a sentence where it asks for nothing."""
    try:
        query = read_query(asked_of(address) or {})
        known = known_of(query, services)
        return pick_view.table(rows_of(query, known), query, services.catalog, known)
    except (KeyError, QuantlabError):
        return '<p class="ql-hint">There is no table for this question.</p>'


def _answer(query: Query, services: Services) -> str:
    """The answer, with the address that asks for it."""
    known = known_of(query, services)
    found = answer_of(query, known)
    told = answer_view.answer(lambda: rows_of(query, known), query, services.catalog, found)
    return f'<div data-address="{escape(address_of(query))}">{told}</div>'


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


def went(call: Call) -> Updates:
    """The controls of the address that the visitor went back or forward to."""
    return from_address(str(call.event.get("address", ""))) or {}


def script_for(services: Services, asked: object) -> str:
    """The script of a plan that is proposed; ``asked`` comes from the browser."""
    parts = [*str(asked)[:MAX_ADDRESS].split(KEY_MARK), "", "", ""]
    model, plan, placement, hardware, *settings = parts
    try:
        given: dict[str, Any] = {key: True for key in settings if key in FLAGS}
        made = make_comparison(model=model, plans=[plan], prompt=PROMPT, **given)
        return services.do(placed_script, made, placement, hardware)
    except QuantlabError as error:
        return f"# No script: {error}\n"


def build_pick(services: Services) -> Parts:
    """Lay the tab out and wire what stays within it; gives its components by name.

    Those of the question are called as in ``QUESTION``.
    """

    def script_of_plan(asked: object) -> str:
        return script_for(services, asked)

    catalog = services.catalog
    query = default_query(catalog)
    with gr.Row(elem_classes="ql-first"):
        seen = picture_of_bits(services.gallery)
        gr.HTML(seen, apply_default_css=False, elem_id="ql-first-picture")
        with gr.Column(elem_classes="ql-ask", min_width=260):
            asked = _question(catalog, query)
            answer = gr.HTML(
                _answer(query, services),
                elem_id="ql-answer",
                apply_default_css=False,
                js_on_load=script("answer.js"),
                server_functions=[script_of_plan],
            )
    build_check(services, asked["hardware"])
    build_learn()
    with gr.Column(elem_classes="ql-whole"):
        gr.HTML(WHOLE, apply_default_css=False, js_on_load=script("whole.js"))
        question = {**asked, **_more()}
        table = _table(services)
    address = gr.Textbox(visible=HIDDEN, max_length=MAX_ADDRESS, elem_id="ql-address")
    parts = {**only(question, *QUESTION), "answer": answer, "table": table, "address": address}
    _wire(services, parts)
    return parts


def _wire(services: Services, parts: Parts) -> None:
    question = only(parts, *QUESTION)
    changes = [part.change for part in question.values()]
    answered = only(parts, "answer", "hardware", "model")
    wire_shared(
        changes,
        ask,
        services,
        question,
        answered,
        lambda asked: state_of(asked, services),
        _likely(question),
    )
    hardware, memory = only(parts, "hardware"), only(parts, "memory")
    wire(parts["hardware"].change, memory_of, services, hardware, memory, **QUIET)


def _likely(question: Parts) -> list[list[Any]]:
    """What many ask first: what the page opens with, but for one control other than the card, of
    which there are too many."""
    first = {name: part.value for name, part in question.items()}
    found = []
    for name in ("needs", "bits", "model", "ram", "library"):
        for _, value in question[name].choices:
            wanted = [value] if name == "needs" else value
            if wanted != first[name]:
                found.append([*{**first, name: wanted}.values()])
    return found


def _table(services: Services) -> gr.HTML:
    """The table, which the browser fetches when it is opened: see static/table.js."""

    def claims_of(asked: object) -> str:
        key, column, model = [*str(asked)[:MAX_ADDRESS].split("|"), "", ""][:3]
        code = code_first(key, model, services)
        return pick_view.claims(key, column, services.catalog, code) + beside(key)

    async def table(asked: list[Any]) -> list[Any]:
        if len(asked) != 1:
            raise ValueError("A table is of one question.")
        return [await asyncio.to_thread(table_of, str(asked[0]), services)]

    page = Context.root_block
    assert isinstance(page, Page)
    page.answers.add("table", table, lambda asked: state_of(asked, services))
    return gr.HTML(
        "",
        elem_id="ql-table",
        apply_default_css=False,
        html_template=FIND,
        js_on_load=script("table.js") + script("copy.js"),
        server_functions=[claims_of],
    )


def _cards() -> list[tuple[str, str]]:
    """The cards of data/gpus, smallest first and laptops' last, as people call them: who types 4080
    and takes the first means no laptop."""
    makers = ("NVIDIA ", "GeForce ", "AMD ", "Intel ")
    found = []
    for gpu in sorted(load_gpus().values(), key=lambda gpu: "laptop" in gpu.id.split("-")):
        name = gpu.name
        for maker in makers:
            name = name.removeprefix(maker)
        name = name.removesuffix(" unified memory")  # which all of that name have
        found.append((name, gpu.id))
    return found


def _question(catalog: Catalog, query: Query) -> Parts:
    """Card, memory, host memory and model: what the answer needs."""
    models = [("any", ""), *((model.name, model.id) for model in catalog.models.values())]
    own = [(f"{query.card.bytes / GIB:.1f} GiB", "")] if query.card else MEMORY_CHOICES
    with gr.Row(elem_classes="ql-controls ql-question"):
        hardware = gr.Dropdown(
            [*((row.chosen, row.id) for row in HARDWARE), *_cards()],
            value=query.gpu or query.hardware,
            label="Your card",
            allow_custom_value=True,
            min_width=170,
        )
        memory = gr.Dropdown(
            own,
            value=f"{query.memory_gb:g}" if query.memory_gb else "",
            label="Memory",
            allow_custom_value=True,
            interactive=query.card is None,
            min_width=110,
        )
        ram = gr.Dropdown(
            RAM_CHOICES, value="", label="Host memory", allow_custom_value=True, min_width=110
        )
        model = gr.Dropdown(
            models,
            value=query.model or "",
            label="Model",
            allow_custom_value=True,
            min_width=140,
        )
    return {"hardware": hardware, "memory": memory, "ram": ram, "model": model}


def _more() -> Parts:
    """What the table can be narrowed by besides."""
    with gr.Row(elem_classes="ql-controls ql-narrow"):
        bits = gr.Dropdown(
            [("any", ""), *((str(n), str(n)) for n in BITS)], value="", label="Bits", min_width=90
        )
        library = gr.Dropdown(
            [("either", ""), *((row.chosen, row.id) for row in LIBRARIES)],
            value="",
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
    return {"bits": bits, "library": library, "needs": needs}
