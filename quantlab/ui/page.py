"""The page: head, banner, tabs, and what goes from one tab to the other."""

from __future__ import annotations

from types import MethodType

import gradio as gr

from quantlab.ui.bands_view import sheet
from quantlab.ui.blind.tab import build_blind
from quantlab.ui.blocks import Page
from quantlab.ui.compare import edit as try_edit
from quantlab.ui.compare import open as try_open
from quantlab.ui.compare import run as try_run
from quantlab.ui.compare.tab import QUIET, TryTab, build_try
from quantlab.ui.machine.tab import build_machine
from quantlab.ui.pick.tab import PickTab, build_pick, restore
from quantlab.ui.programs import api
from quantlab.ui.results.tab import ResultsTab, build_results
from quantlab.ui.services import Services
from quantlab.ui.theme import script

__all__ = ["build"]

HEAD = (
    '<header class="ql-head"><h1>quantlab</h1><p>Pick a quantization method for your hardware, '
    "try several on Flux side by side, share exactly what you saw.</p></header>"
)


def build(services: Services) -> gr.Blocks:
    """The whole page over ``services``; app.py launches it with its theme and styles."""
    with Page(title="quantlab", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        scripts = "".join(script(f"{name}.js") for name in ("names", "tabs", "choose"))
        gr.HTML(HEAD, apply_default_css=False, js_on_load=scripts)
        banner = gr.HTML("", elem_id="ql-banner", apply_default_css=False)
        with gr.Tabs() as tabs:
            with gr.Tab("Pick", id="pick"):
                pick = build_pick(services.catalog)
            with gr.Tab("Try", id="try") as try_tab:
                tried = build_try(services, banner)
            with gr.Tab("Results", id="results") as results_tab:
                results = build_results(services, results_tab)
            with gr.Tab("Blind test", id="blind") as blind_tab:
                build_blind(services, tried.shown, blind_tab)
            with gr.Tab("This machine", id="machine") as machine_tab:
                build_machine(services, machine_tab)
        gr.HTML(sheet(), apply_default_css=False, js_on_load=script("zoom.js"))
        try_tab.select(services.warm_up, **QUIET)
        _wire(services, page, tabs, pick, tried, results)
        api.register(services)
    return page


def _wire(
    services: Services,
    page: gr.Blocks,
    tabs: gr.Tabs,
    pick: PickTab,
    tried: TryTab,
    results: ResultsTab,
) -> None:
    inputs = [tried.shown, *tried.values]
    outputs = [tabs, *tried.layout]
    pick.table.try_scheme(MethodType(try_edit.try_scheme, services), inputs, outputs, **QUIET)
    pick.answer.try_all(
        MethodType(try_edit.try_best, services), [*inputs, *pick.controls], outputs, **QUIET
    )
    page.load(restore, pick.kept, list(pick.controls), **QUIET)
    whole = [
        *(tabs, tried.banner, tried.shown, *tried.fields.values(), tried.link, *tried.slider),
        *tried.layout,
    ]
    page.load(MethodType(try_open.open_page, services), tried.values, whole, **QUIET)
    chosen = MethodType(try_open.open_result, services)
    results.shown.open_result(chosen, tried.fields["model"], whole, **QUIET)
    page.unload(MethodType(try_run.leave, services))
