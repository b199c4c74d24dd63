"""The Results tab: everything recorded, to filter, sort, look at, open and take away.

Handlers are functions of the services and plain values; ``build_results`` lays out and wires.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, cast

import gradio as gr
import pandas as pd

from quantlab.errors import StoreError
from quantlab.record.results.export import to_csv, to_json, to_markdown
from quantlab.record.results.frame import LIMIT, field, narrow, records
from quantlab.record.results.grouping import ORDERS, Order, groups
from quantlab.record.results.groups import table
from quantlab.ui.compare.stage.view import banner
from quantlab.ui.download import download, named, offer
from quantlab.ui.named import QUIET, Call, Parts, Updates, only, wire
from quantlab.ui.results import runs_view
from quantlab.ui.results import view as results_view
from quantlab.ui.services import Services
from quantlab.ui.theme import script

__all__ = ["build_results", "export", "refresh", "show", "sort_by"]

SORTS = (
    ("Newest first", "newest"),
    ("Plan", "plan"),
    ("Least weights", "memory"),
    ("Least peak memory", "peak"),
    ("Fastest", "latency"),
    ("Nearest to the reference", "fidelity"),
)
FORMATS = (("CSV", "csv"), ("JSON", "json"), ("Markdown", "md"))
READING = '<p class="ql-hint" role="status">Reading the results…</p>'
SHEET = (
    '<div class="ql-groups">${value}</div>'
    '<dialog class="ql-sheet" aria-label="Runs">'
    '<button type="button" class="ql-button ql-close" data-close>Close</button>'
    '<div class="ql-sheet-body"></div></dialog>'
)


def _chosen(call: Call) -> pd.DataFrame:
    words = {name: call.given[name] or "" for name in ("model", "evidence", "machine", "words")}
    return narrow(_field(call.services), **words)


def _field(services: Services) -> pd.DataFrame:
    return field(services.store, gallery=services.gallery)


def _order(value: object) -> Order:
    return cast("Order", value) if value in ORDERS else "newest"


def show(call: Call) -> Updates:
    """The groups that fit the controls, or one sentence; nothing where they are ``there``."""
    services, order = call.services, _order(call.given["order"])
    try:
        found = groups(_chosen(call), order)
        kept = services.store.count() if services.store is not None else 0
    except StoreError as error:
        return {"groups": banner(str(error)), "there": ""}
    names = {each.id: each.name for each in services.catalog.models.values()}
    count = f'<p class="ql-found" role="status">{results_view.count(found)}</p>'
    rest = results_view.left_out(LIMIT, kept)
    text = count + rest + results_view.results(found, order, names, any_own=kept > 0)
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return {} if digest == call.given.get("there") else {"groups": text, "there": digest}


def refresh(call: Call) -> Updates:
    """What may be chosen now, and ``show``: when somebody turns to the tab."""
    try:
        everything = _field(call.services)
    except StoreError as error:
        return {"groups": banner(str(error)), "there": ""}
    models = call.services.catalog.models
    known = [
        (models[m].name if m in models else m, m) for m in sorted(set(everything["model"])) if m
    ]
    machines = [(name, name) for name in sorted(set(everything["machine"])) if name]
    return {
        "model": gr.update(choices=[("any", ""), *known]),
        "machine": gr.update(choices=[("any", ""), *machines]),
        **show(call),
    }


def sort_by(call: Call) -> Updates:
    """The order that a column's head stands for."""
    wanted = call.event.get("by")
    return {"order": wanted} if wanted in ORDERS else {}


def export(call: Call) -> str:
    """A file of what the controls let through: every run as CSV or JSON, the tables as Markdown.

    Raises:
        gr.Error: the results cannot be read.
    """
    kind = call.given["kind"]
    try:
        found = _chosen(call)
    except StoreError as error:
        raise gr.Error(str(error), print_exception=False) from error
    if kind == "md":
        order = _order(call.given["order"])
        text = to_markdown([table(group) for group in groups(found, order)])
    else:
        text = to_csv(records(found)) if kind == "csv" else to_json(records(found))
    return offer(named("results", kind), text.encode("utf-8", "replace"))


def build_results(services: Services, tab: Any) -> Parts:
    """Lay the tab out and wire what stays within it; ``tab`` is the one it stands in.

    Of its parts, ``groups`` tells ``open_result`` with the id of a stored result.
    """

    def runs_of(asked: object) -> str:
        try:
            return runs_view.runs(_field(services), str(asked))
        except StoreError as error:
            return banner(str(error))

    controls = _controls()
    shown = gr.HTML(
        READING,
        elem_id="ql-results",
        apply_default_css=False,
        html_template=SHEET,
        js_on_load=script("results.js"),
        server_functions=[runs_of],
    )
    _exports(services, controls)
    parts = {**controls, "groups": shown, "there": gr.State("")}
    asked = {**controls, **only(parts, "there")}
    groups_of = only(parts, "groups", "there")
    changed = only(parts, "model", "machine", "groups", "there")
    wire(tab.select, refresh, services, asked, changed, **QUIET)
    changes = [control.change for control in controls.values()]
    wire(changes, show, services, asked, groups_of, trigger_mode="always_last", **QUIET)
    wire(shown.sort_by, sort_by, services, {}, only(parts, "order"), told=True, **QUIET)
    return parts


def _controls() -> Parts:
    anything = [("any", "")]
    evidence = ("measured", "documented")
    with gr.Row(elem_classes="ql-controls ql-results-controls"):
        model = gr.Dropdown(anything, value="", label="Model", min_width=140)
        known = gr.Dropdown(
            [*anything, *_pairs(evidence)], value="", label="Evidence", min_width=130
        )
        machine = gr.Dropdown(anything, value="", label="Machine", min_width=200)
        words = gr.Textbox(
            "",
            label="Search",
            placeholder="a plan, a prompt",
            max_length=200,
            max_lines=1,
            min_width=160,
        )
        order = gr.Dropdown(list(SORTS), value="newest", label="Sort by", min_width=160)
    return {
        "model": model,
        "evidence": known,
        "machine": machine,
        "words": words,
        "order": order,
    }


def _pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, name) for name in names]


def _exports(services: Services, controls: Parts) -> None:
    with gr.Row(elem_classes="ql-exports"):
        gr.HTML(
            '<p class="ql-hint">Take away what is shown: every run as CSV or JSON, the tables as '
            "Markdown.</p>",
            apply_default_css=False,
        )
        for name, kind in FORMATS:
            button = gr.Button(name, size="sm", min_width=90, elem_id=f"ql-export-{kind}")
            inputs = {"kind": gr.State(kind), **controls}
            download(button.click, export, services, inputs, f"ql-file-{kind}")
