"""The Compare tab: the prompt, a stage with a strip of two to six plans, settings, the link."""

from __future__ import annotations

from typing import Any

import gradio as gr

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.schema import Model
from quantlab.ui.compare.fields import build_fields
from quantlab.ui.compare.plans import BASE, PROMPT, START, Column, choices, encoder_of
from quantlab.ui.compare.save_picture import save_picture, save_plot
from quantlab.ui.compare.send import measured_rows
from quantlab.ui.compare.stage.board import board
from quantlab.ui.compare.stage.flip_view import offer_flip_maps
from quantlab.ui.compare.stage.view import link_box
from quantlab.ui.compare.wiring import wire_cost, wire_edit, wire_run, wire_share
from quantlab.ui.download import download
from quantlab.ui.named import Parts
from quantlab.ui.services import Services
from quantlab.ui.state import Shown
from quantlab.ui.theme import HIDDEN, script
from quantlab.ui.tuning.section import build_tuning, may_tune
from quantlab.ui.words import LETTERS
from quantlab.words.comparison import MAX_PLANS, SHIPPED, Comparison
from quantlab.words.settings import setting

__all__ = ["build_try", "first_runs"]

KEEP = "Keep the results"


def first_runs() -> list[Comparison]:
    """What a visitor runs first, a plan at a time, in one step of the smallest picture."""
    return [
        make_comparison(plans=[plan], prompt=PROMPT, steps=1, width=64, height=64) for plan in START
    ]


def build_try(services: Services, banner: Any, live: Any) -> Parts:
    """Lay the tab out and wire what stays within it; gives its components by name.

    Plan N has ``transformer-N`` and ``encoder-N``; ``board`` has the pictures of all, ``facts``
    the figures. ``banner`` and ``live``, which knows the running job, stand outside of the tabs.
    """
    model = services.catalog.models[SHIPPED]
    parts: dict[str, Any] = {
        "banner": banner,
        "live": live,
        "token": gr.Textbox(visible=HIDDEN, max_length=64, elem_id="ql-token"),
        "arrived": gr.Textbox(visible=HIDDEN, max_length=8),  # once the page is as it was asked for
        "count": gr.State(len(START)),
        "shown": gr.State(Shown()),
        "job": gr.State(None),
        "before": gr.State(model.id),
        "mine": gr.Textbox(visible=HIDDEN, max_length=64, elem_id="ql-mine"),
    }
    with gr.Row(elem_classes="ql-prompt"):
        prompt = gr.Textbox(
            PROMPT,
            label="Prompt",
            info=f"{model.name} draws one simple thing on a plain coloured background.",
            max_length=setting("prompt").longest,
            max_lines=1,
            scale=6,
            min_width=260,
        )
        parts["run"] = gr.Button("Run", variant="primary", elem_id="ql-run", min_width=120)
        parts["stop"] = gr.Button("Stop", elem_id="ql-stop", visible=HIDDEN, min_width=120)
    parts["notice"] = gr.HTML("", elem_id="ql-notice", apply_default_css=False)
    parts["cost"] = gr.HTML("", elem_id="ql-cost", apply_default_css=False)
    parts["changed"] = gr.HTML(
        "", elem_id="ql-changed", apply_default_css=False, js_on_load=script("changed.js")
    )
    parts["progress"] = gr.HTML("", elem_id="ql-progress", apply_default_css=False)
    parts |= _stage(services, model)
    with gr.Column(elem_classes="ql-settings"):
        parts |= build_fields(services, model, prompt)
        parts["keep"] = gr.Checkbox(
            True, label=KEEP, info=_kept_for(services), elem_id="ql-keep", container=False
        )
    parts |= _share(services, parts["shown"])
    shown = {"shown": parts["shown"]}
    download(parts["facts"].worse, measured_rows, services, shown, "ql-worse-file")
    wire_run(services, parts)
    wire_edit(services, parts)
    wire_share(services, parts)
    wire_cost(services, parts)
    if may_tune(services):
        build_tuning(services, parts)
    return parts


def _stage(services: Services, model: Model) -> Parts:
    """The pictures, what each plan may be, and the figures."""
    start = board(START, Shown(), model, services.catalog)
    offer_flip_maps()
    parts: dict[str, Any] = {}
    parts["board"] = gr.HTML(
        start["board"],
        elem_id="ql-board",
        elem_classes="ql-zoom-group",
        apply_default_css=False,
        js_on_load=script("stage.js"),
    )
    with gr.Column(elem_classes="ql-choosers"):
        for index in range(MAX_PLANS):
            parts |= _choosers(services, model, index)
    with gr.Row(elem_classes="ql-edit"):
        parts["more"] = gr.Button("Add a plan", size="sm", min_width=120)
        parts["fewer"] = gr.Button("Remove the last", size="sm", min_width=120)
    parts["facts"] = gr.HTML(
        start["facts"],
        elem_id="ql-facts",
        apply_default_css=False,
        js_on_load=script("facts.js"),
    )
    parts["code"] = _copied("", "ql-code")
    return parts


def _share(services: Services, shown: Any) -> Parts:
    """The link, and the ways to take away what is seen."""
    link = _copied(link_box(""), "ql-link")
    with gr.Row(elem_classes="ql-edit"):
        share = gr.Button("Share this run", size="sm", min_width=120, elem_id="ql-share")
        save = gr.Button("Save as picture", size="sm", min_width=120, elem_id="ql-save-picture")
        plot = gr.Button("Save the plot", size="sm", min_width=120, elem_id="ql-save-plot")
        forget = gr.Button("Delete my results", size="sm", min_width=120, elem_id="ql-delete-mine")
    shared = _copied("", "ql-shared")
    download(save.click, save_picture, services, {"shown": shown}, "ql-picture-file")
    download(plot.click, save_plot, services, {"shown": shown}, "ql-plot-file")
    return {"link": link, "share": share, "forget": forget, "shared": shared}


def _kept_for(services: Services) -> str:
    """Who sees what is run here, said before anything is."""
    if services.store is None:
        return "This page has no store: nothing is kept."
    if services.public:
        return "Prompt, pictures and figures are then shown to everybody who comes here."
    return "With prompt and pictures, on this machine alone."


def _copied(value: str, elem_id: str) -> Any:
    return gr.HTML(value, elem_id=elem_id, apply_default_css=False, js_on_load=script("copy.js"))


def _choosers(services: Services, model: Model, index: int) -> Parts:
    """What plan ``index`` may be; opened from its thumbnail, and always there: what is mounted only
    when it is seen misses the updates before."""
    plan = Column(START[index] if index < len(START) else "")
    name = f"of plan {LETTERS[index]}"
    with gr.Row(elem_classes=f"ql-chooser ql-chooser-{index}"):
        first = gr.Dropdown(
            choices(model, model.components[0], services.catalog),
            value=plan.transformer,
            label=f"Transformer {name}",
            allow_custom_value=True,
            elem_id=f"ql-transformer-{index}",
            min_width=200,
        )
        second = gr.Dropdown(
            choices(model, encoder_of(model), services.catalog),
            value=BASE,
            label=f"Text encoder {name}",
            allow_custom_value=True,
            elem_id=f"ql-encoder-{index}",
            min_width=200,
        )
    return {f"transformer-{index}": first, f"encoder-{index}": second}
