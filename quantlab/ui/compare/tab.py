"""The Try tab: controls, two to six columns, the slider between two images, the link."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MethodType
from typing import Any

import gradio as gr

from quantlab.catalog.schema import Model
from quantlab.ui.compare import edit as try_edit
from quantlab.ui.compare import run as try_run
from quantlab.ui.compare import share
from quantlab.ui.compare.cost import cost_note
from quantlab.ui.compare.fields import build_fields
from quantlab.ui.compare.overlay import build_closer
from quantlab.ui.compare.plans import BASE, Column, choices, encoder_of, plan_text
from quantlab.ui.compare.save_picture import save_picture
from quantlab.ui.compare.view import head, link_box, zoom_bar
from quantlab.ui.download import download
from quantlab.ui.services import Services
from quantlab.ui.state import ROWS, Shown
from quantlab.ui.theme import HIDDEN, script
from quantlab.ui.words import LETTERS
from quantlab.words.comparison import MAX_PLANS
from quantlab.words.settings import setting

__all__ = ["START", "TryTab", "build_try"]

START = ("fp32", "bnb-nf4", "torchao-int8wo")
PROMPT = "a dog face on a blue background"
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class ColumnParts:
    """The components of one column."""

    group: Any
    transformer: Any
    encoder: Any
    head: Any
    image: Any
    instead: Any
    figures: Any
    accordion: Any
    code: Any


@dataclass(frozen=True)
class TryTab:
    """The components of the tab that handlers read or update."""

    fields: Mapping[str, Any]
    """By ``state.FIELDS``, in that order."""
    columns: tuple[ColumnParts, ...]
    count: Any
    shown: Any
    job: Any
    banner: Any
    run: Any
    stop: Any
    progress: Any
    link: Any
    more: Any
    fewer: Any
    slider: tuple[Any, ...]
    """What stands under the columns: see ``closer.Closer``."""
    cost: Any

    @property
    def values(self) -> list[Any]:
        """What handlers get: see ``state.Values``."""
        choosers = [c for part in self.columns for c in (part.transformer, part.encoder)]
        return [*self.fields.values(), *choosers, self.count]

    @property
    def board(self) -> list[Any]:
        """What ``board`` updates."""
        return [x for c in self.columns for x in (c.head, c.image, c.instead, c.figures)]

    @property
    def layout(self) -> list[Any]:
        """What ``lay_out`` updates."""
        groups = [c.group for c in self.columns]
        choosers = [x for c in self.columns for x in (c.transformer, c.encoder)]
        return [self.count, *groups, *choosers, *self.board]


def build_try(services: Services, banner: Any) -> TryTab:
    """Lay the tab out and wire what stays within it."""
    model = services.catalog.models["flux-mini"]
    count, shown, job = gr.State(len(START)), gr.State(Shown()), gr.State(None)
    with gr.Row(elem_classes="ql-prompt"):
        prompt = gr.Textbox(
            PROMPT,
            label="Prompt",
            info="flux-mini draws one simple thing on a plain coloured background.",
            max_length=setting("prompt").longest,
            max_lines=1,
            scale=6,
            min_width=260,
        )
        run = gr.Button("Run", variant="primary", elem_id="ql-run", min_width=120)
        stop = gr.Button("Stop", elem_id="ql-stop", visible=HIDDEN, min_width=120)
    cost = gr.HTML("", elem_id="ql-cost", apply_default_css=False)
    fields = build_fields(services, model, prompt)
    progress = gr.HTML("", elem_id="ql-progress", apply_default_css=False)
    with gr.Column(elem_classes="ql-zoom-group"):
        gr.HTML(zoom_bar(), apply_default_css=False)
        with gr.Row(elem_classes="ql-columns"):
            columns = tuple(_column(services, model, index) for index in range(MAX_PLANS))
        with gr.Row(elem_classes="ql-edit"):
            more = gr.Button("Add a plan", size="sm", min_width=120)
            fewer = gr.Button("Remove the last", size="sm", min_width=120)
        slider = build_closer(shown).all
    link = gr.HTML(
        link_box(""),
        elem_id="ql-link",
        apply_default_css=False,
        js_on_load=script("copy.js"),
    )
    with gr.Row(elem_classes="ql-edit"):
        save = gr.Button("Save as picture", size="sm", min_width=120, elem_id="ql-save-picture")
        download(save, _bound(save_picture, services), shown, "ql-picture-file")
    tab = TryTab(
        fields, columns, count, shown, job, banner, run, stop, progress, link, more, fewer, slider,
        cost,
    )  # fmt: skip
    _wire_run(services, tab)
    _wire_edit(services, tab)
    _wire_cost(services, tab)
    return tab


def _column(services: Services, model: Model, index: int) -> ColumnParts:
    here = index < len(START)
    plan = Column(START[index] if here else "")
    encoder = encoder_of(model)
    name = f"of plan {LETTERS[index]}"
    with gr.Column(visible=here, elem_classes="ql-column", min_width=220) as group:
        transformer = gr.Dropdown(
            choices(model, model.components[0], services.catalog),
            value=plan.transformer,
            label=f"Transformer {name}",
            allow_custom_value=True,
            elem_id=f"ql-transformer-{index}",
        )
        second = gr.Dropdown(
            choices(model, encoder, services.catalog),
            value=BASE,
            label=f"Text encoder {name}",
            allow_custom_value=True,
            elem_id=f"ql-encoder-{index}",
        )
        title = gr.HTML(
            head(index, plan_text(plan, model), "idle"),
            apply_default_css=False,
            elem_classes="ql-title",
        )
        image = gr.Image(
            interactive=False,
            format="png",
            show_label=False,
            container=False,
            buttons=["download", "fullscreen"],
            elem_classes="ql-image",
        )
        # Image and button are hidden by their style while empty: showing a column again would set
        # `visible` of all that it holds.
        instead = gr.Button("", interactive=False, size="sm", elem_classes="ql-instead")
        figures = gr.HTML("", apply_default_css=False)
        with gr.Accordion("Code", open=False) as accordion:
            code = gr.HTML("", apply_default_css=False, js_on_load=script("copy.js"))
    return ColumnParts(group, transformer, second, title, image, instead, figures, accordion, code)


def _bound(handler: Callable[..., Any], services: Services) -> MethodType:
    return MethodType(handler, services)


def _wire_run(services: Services, tab: TryTab) -> None:
    gr.on(
        [tab.run.click, tab.fields["prompt"].submit],
        _bound(try_run.check, services),
        inputs=tab.values,
        outputs=[
            tab.banner, tab.job, tab.shown, tab.run, tab.stop, tab.progress, tab.link, *tab.board
        ],
        concurrency_limit=None,  # queued, since only then does a changed state start `run`
        show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip
    running = tab.job.change(
        _bound(try_run.run, services),
        inputs=tab.job,
        outputs=[tab.progress, tab.shown, *tab.slider, *tab.board],
        concurrency_limit=None,  # it waits for its turn by itself
        show_progress="hidden",
        api_visibility="private",
    )
    ended = [tab.run, tab.stop, tab.progress, *tab.board]
    jobs = [tab.job, tab.shown]
    running.then(_bound(try_run.settle, services), jobs, ended, **QUIET)
    tab.stop.click(_bound(try_run.stop, services), jobs, ended, **QUIET)


def _wire_edit(services: Services, tab: TryTab) -> None:
    inputs = [tab.shown, *tab.values]
    tab.more.click(_bound(try_edit.add, services), inputs, tab.layout, **QUIET)
    tab.fewer.click(_bound(try_edit.remove, services), inputs, tab.layout, **QUIET)
    choosers = [x for c in tab.columns for x in (c.transformer, c.encoder)]
    gr.on(
        [c.input for c in choosers], _bound(try_edit.redraw, services), inputs, tab.board, **QUIET
    )
    model = tab.fields["model"]
    before = gr.State(model.value)
    model.focus(try_edit.same_model, model, before, **QUIET)
    model.input(
        _bound(try_edit.change_model, services),
        [model, before],
        [model, *(tab.fields[row.key] for row in ROWS if row.anew), before, *choosers],
        **QUIET,
    )
    for index, column in enumerate(tab.columns):
        inputs = [gr.State(index), tab.shown, *tab.values]
        column.instead.click(_bound(try_edit.use_instead, services), inputs, tab.layout, **QUIET)
        column.accordion.expand(_bound(try_edit.code, services), inputs, column.code, **QUIET)
    gr.on(
        [x.change for x in tab.values],
        _bound(share.link_of, services),
        inputs=tab.values,
        outputs=[tab.link, *[column.accordion for column in tab.columns]],
        trigger_mode="always_last",
        **QUIET,
    )


def _wire_cost(services: Services, tab: TryTab) -> None:
    tab.cost.value = cost_note(services, *(x.value for x in tab.values))
    if not tab.cost.value:
        return  # runs cost nothing here
    gr.on(
        [x.change for x in tab.values],
        _bound(cost_note, services),
        inputs=tab.values,
        outputs=tab.cost,
        trigger_mode="always_last",
        **QUIET,
    )
