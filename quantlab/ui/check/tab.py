"""The box: code goes in, what it really does comes out. Nothing of it is run."""

from __future__ import annotations

from typing import Any

import gradio as gr

from quantlab.catalog.gpus import load_gpus
from quantlab.errors import InputError
from quantlab.lab.check.check import check_text
from quantlab.lab.check.code.text import LONGEST
from quantlab.ui.check import view
from quantlab.ui.fold import fold
from quantlab.ui.named import QUIET, Call, Updates, wire
from quantlab.ui.services import Services
from quantlab.ui.theme import script

__all__ = ["build_check", "look"]

HINT = "a script, a notebook's text, a few lines, or what Python said when it failed"


def look(call: Call) -> Updates:
    """What is to be said of the pasted text, for the card that is chosen above."""
    text = str(call.given["code"] or "")
    if not text.strip():
        return {"said": ""}
    card = load_gpus().get(str(call.given["hardware"] or ""))
    catalog = call.services.catalog
    try:
        found = check_text(text, gpu=card, catalog=catalog)
    except InputError as error:
        return {"said": view.problem(str(error))}
    return {"said": view.report(found, catalog)}


def build_check(services: Services, hardware: Any) -> None:
    """Place the box, closed; ``hardware`` is the control whose card the code is held against."""
    with fold("Check my code", "ql-check"):
        code = gr.Textbox(
            label="Paste code or an error message",
            placeholder=HINT,
            lines=8,
            max_lines=24,
            max_length=LONGEST,
            elem_classes="ql-paste",
        )
        button = gr.Button("Check", size="sm", elem_classes="ql-do-check")
        said = gr.HTML("", apply_default_css=False, js_on_load=script("copy.js"))
    inputs = {"code": code, "hardware": hardware}
    options = {**QUIET, "trigger_mode": "always_last"}
    wire([code.change, button.click], look, services, inputs, {"said": said}, **options)
