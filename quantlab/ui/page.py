"""The page: head, banner, tabs, and what goes from one tab to the other."""

from __future__ import annotations

import json
import os
from html import escape

import gradio as gr
from starlette.middleware import Middleware

from quantlab import __version__
from quantlab.record.link import to_query
from quantlab.ui.bands_view import sheet
from quantlab.ui.blind.tab import build_blind
from quantlab.ui.blocks import Page
from quantlab.ui.compare import edit as try_edit
from quantlab.ui.compare import open as try_open
from quantlab.ui.compare import run as try_run
from quantlab.ui.compare.plans import first_comparison
from quantlab.ui.compare.tab import build_try
from quantlab.ui.compare.taking import Pictures
from quantlab.ui.compare.wiring import controls, layout, wire_find
from quantlab.ui.machine.tab import build_machine
from quantlab.ui.named import QUIET, Call, Parts, only, wire
from quantlab.ui.pick.query import QUESTION
from quantlab.ui.pick.tab import build_pick, restore, went
from quantlab.ui.preview.serve import Previews, route
from quantlab.ui.programs import api
from quantlab.ui.results.tab import build_results
from quantlab.ui.services import Services
from quantlab.ui.state import FIELDS
from quantlab.ui.theme import script

__all__ = ["build"]

HEAD = (
    '<header class="ql-head"><h1>quantlab</h1><p>Which quantization for your card, what it does to '
    "the picture, and the script to take away.</p></header>"
)


def foot() -> str:
    """Version, licence, and the same for programs; where the source is, as far as that is known."""
    space = os.environ.get("SPACE_ID")
    source = "<span>Docs and source: README.md and docs/ in the folder that this runs from</span>"
    if space:
        there = f"https://huggingface.co/spaces/{escape(space)}"
        source = (
            f'<a href="{there}/blob/main/README.md" target="_blank" rel="noopener">Docs</a>'
            f'<a href="{there}/tree/main" target="_blank" rel="noopener">Source</a>'
        )
    return (
        f'<footer class="ql-foot"><span>quantlab {__version__}, Apache-2.0</span>{source}'
        '<a href="gradio_api/info">API</a><span>MCP at <code>gradio_api/mcp/</code></span>'
        "<span>From a terminal: <code>python -m quantlab --help</code></span></footer>"
    )


def build(services: Services) -> Page:
    """The whole page over ``services``; app.py launches it with its theme and styles."""
    page = Page(
        left=services.jobs.stop,
        title="quantlab",
        analytics_enabled=False,
        delete_cache=(3600, 24 * 3600),
    )
    taken = Pictures(opened=services.takes_pictures)
    page.routes += [route(services), taken.route()]
    page.uploads |= taken.limits
    page.wrappers.append(Middleware(Previews, services=services))
    with page:
        api.register(services, page)  # first: else an event of that name has it
        names = ("tabs", "choose", "divider", "embed", "save")
        scripts = "".join(script(f"{name}.js") for name in names)
        gr.HTML(HEAD, apply_default_css=False, js_on_load=scripts)
        banner = gr.HTML("", elem_id="ql-banner", apply_default_css=False)
        start = json.dumps(to_query(first_comparison()))
        address = script("address.js").replace("${START}", f"${{{start}}}", 1)
        live = gr.HTML("", elem_id="ql-live", apply_default_css=False, js_on_load=address)
        turns = {"elem_id": "ql-turn", "js_on_load": script("turn.js")}
        page.told = turn = gr.HTML("", apply_default_css=False, **turns)
        with gr.Tabs():
            with gr.Tab("Pick", id="pick"):
                pick = build_pick(services)
            with gr.Tab("Compare", id="compare"):
                tried = build_try(services, banner, live)
            with gr.Tab("Results", id="results") as results_tab:
                results = build_results(services, results_tab)
            with gr.Tab("Blind test", id="blind") as blind_tab:
                build_blind(services, tried["shown"], blind_tab)
            with gr.Tab("This server", id="machine") as machine_tab:
                build_machine(services, machine_tab)
        gr.HTML(foot(), apply_default_css=False)
        gr.HTML(sheet(), apply_default_css=False, js_on_load=script("zoom.js"))
        _wire(services, page, {**tried, "tabs": turn}, pick, results)
    return page


def _wire(services: Services, page: gr.Blocks, tried: Parts, pick: Parts, results: Parts) -> None:
    """What goes from one tab to the other, and what happens when the page opens and closes."""
    inputs = {**only(tried, "shown"), **controls(tried)}
    outputs = {**only(tried, "tabs"), **layout(tried)}
    chosen = pick["table"].try_scheme
    asked = {**inputs, **{f"pick-{name}": pick[name] for name in QUESTION}}
    changed = only(tried, "banner", *FIELDS, "before", "limits", "pictures")
    into = {**outputs, **changed}
    wire(chosen, try_edit.try_scheme, services, asked, into, told=True, **QUIET)
    wire(pick["answer"].try_all, try_edit.try_best, services, asked, into, **QUIET)
    whole = {
        **only(tried, "tabs", "banner", "shown", *FIELDS, "link", "before", "limits", "pictures"),
        **layout(tried),
    }
    address, question = only(pick, "address"), only(pick, *QUESTION)
    asks = {**QUIET, "js": script("asked.js")}
    wire(page.load, restore, services, address, question, **asks)
    arriving = {**whole, **only(tried, "arrived")}
    opened = wire(page.load, try_open.open_page, services, controls(tried), arriving, **QUIET)
    wire_find(services, tried, opened)
    wire(tried["live"].went, went, services, {}, question, told=True, **QUIET)
    there = {name: part for name, part in whole.items() if name != "tabs"}
    wire(tried["live"].went, try_open.went, services, controls(tried), there, told=True, **QUIET)
    page.load(None, None, tried["mine"], js=script("mine.js"))
    shown = results["groups"].open_result
    wire(shown, try_open.open_result, services, controls(tried), whole, told=True, **QUIET)

    def left(request: gr.Request) -> None:
        try_run.leave(Call(services, request=request))

    page.unload(left)
