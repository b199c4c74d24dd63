"""Two images one over the other, and the amplified difference of one from the reference.

Stands under the columns of the Compare tab as soon as two of them have an image.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from quantlab.ui.compare.stage.board import difference_updates, pictures
from quantlab.ui.compare.stage.difference import AMPLIFICATIONS, USUAL
from quantlab.ui.named import QUIET, Call, Parts, Updates, wire
from quantlab.ui.services import Services

__all__ = ["build_overlay", "differ", "slide"]


def build_overlay(services: Services, shown: Any) -> Parts:
    """Lay both panels out and wire them; ``shown`` is the state with the results.

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
    parts = {
        "left": left,
        "right": right,
        "slider": slider,
        "subtract": plan,
        "times": times,
        "difference": image,
        "difference-note": note,
    }
    inputs = {**parts, "shown": shown}
    chosen = {name: inputs[name] for name in ("shown", "left", "right")}
    wire([left.input, right.input], slide, services, chosen, {"slider": slider}, **QUIET)
    chosen = {name: inputs[name] for name in ("shown", "subtract", "times")}
    changed = {name: parts[name] for name in ("difference", "difference-note")}
    wire([plan.input, times.input], differ, services, chosen, changed, **QUIET)
    return parts


def slide(call: Call) -> Updates:
    """The two chosen images in the slider."""
    chosen = pictures((call.given["left"], call.given["right"]), call.given["shown"])
    return {"slider": gr.update(value=chosen if all(chosen) else None)}


def differ(call: Call) -> Updates:
    """The difference of the chosen image, amplified as chosen, and what it says."""
    times = call.given["times"]
    chosen = times if isinstance(times, int) and times in AMPLIFICATIONS else USUAL
    return difference_updates(call.given["subtract"], chosen, call.given["shown"])
