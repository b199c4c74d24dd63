"""Two images one over the other, and the amplified difference of one from the reference.

Stands under the columns of the Try tab as soon as two of them have an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from quantlab.ui.compare.board import difference_updates
from quantlab.ui.compare.difference import AMPLIFICATIONS, USUAL
from quantlab.ui.compare.edit import slide
from quantlab.ui.state import Shown

__all__ = ["Closer", "build_closer"]

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Closer:
    """The components, in the order in which ``board.slider_updates`` updates them."""

    left: Any
    right: Any
    slider: Any
    plan: Any
    times: Any
    image: Any
    note: Any

    @property
    def all(self) -> tuple[Any, ...]:
        """Every component, as outputs."""
        return tuple(vars(self).values())


def build_closer(shown: Any) -> Closer:
    """Lay both panels out and wire them.

    Not by ``visible``: a component that is mounted only now can miss the update it is shown with.
    """
    with gr.Row(elem_classes="ql-closer"):  # hidden by its style while it has no image
        with gr.Column(elem_classes="ql-panel", min_width=260):
            gr.HTML("<h2>Two of them, one over the other</h2>", apply_default_css=False)
            with gr.Row():
                left = gr.Dropdown([], label="Left image", min_width=120)
                right = gr.Dropdown([], label="Right image", min_width=120)
            slider = gr.ImageSlider(
                interactive=False,
                format="png",
                show_label=False,
                container=False,
                elem_id="ql-slider",
                max_height=440,
            )
        with gr.Column(elem_classes="ql-panel", min_width=260):
            gr.HTML("<h2>Difference from the reference</h2>", apply_default_css=False)
            with gr.Row():
                plan = gr.Dropdown([], label="Image to subtract", min_width=120)
                factors = [(f"{times}×", times) for times in AMPLIFICATIONS]
                times = gr.Dropdown(factors, value=USUAL, label="Amplified", min_width=90)
            image = gr.Image(
                interactive=False,
                format="png",
                show_label=False,
                container=False,
                buttons=["download"],
                elem_id="ql-difference",
                elem_classes="ql-image",
            )
            note = gr.HTML("", apply_default_css=False)
    gr.on([left.input, right.input], slide, [shown, left, right], slider, **QUIET)
    gr.on([plan.input, times.input], differ, [shown, plan, times], [image, note], **QUIET)
    return Closer(left, right, slider, plan, times, image, note)


def differ(shown: Shown, plan: str | None, times: object) -> list[Any]:
    """The difference of the chosen image, amplified as chosen, and what it says."""
    chosen = times if isinstance(times, int) and times in AMPLIFICATIONS else USUAL
    return difference_updates(plan, chosen, shown)
