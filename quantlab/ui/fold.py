"""A part of the page under a heading, closed until it is asked for and mounted from the start.

Gradio mounts what is in a closed accordion when it opens, and updates of it are lost until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import gradio as gr

from quantlab.ui.theme import script

__all__ = ["fold"]


@contextmanager
def fold(title: str, name: str) -> Iterator[None]:
    """What is built inside stands under ``title``; ``name`` is the id of the whole."""
    with gr.Column(elem_classes="ql-fold", elem_id=name):
        head = (
            '<button type="button" class="ql-fold-head" aria-expanded="false" data-fold>'
            f"{escape(title)}</button>"
        )
        gr.HTML(head, apply_default_css=False, js_on_load=script("fold.js"))
        yield
