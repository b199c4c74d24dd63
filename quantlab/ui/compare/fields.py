"""The controls of the Try tab beside its prompt and columns."""

from __future__ import annotations

import os
from typing import Any

import gradio as gr

from quantlab.catalog.schema import Model
from quantlab.ui.compare import edit as try_edit
from quantlab.ui.services import Services
from quantlab.words.comparison import MAX_SEED
from quantlab.words.lora import MAX_WEIGHT

__all__ = ["build_fields"]


def build_fields(services: Services, model: Model, prompt: Any) -> tuple[Any, ...]:
    """Lay the controls out; they come back in the order of ``state.FIELDS``."""
    d, limits = model.defaults, model.limits
    elsewhere = "" if os.environ.get("SPACE_ID") else ", or owner/name on the hub"
    sizes = f"{limits.min_size} to {limits.max_size}, in steps of {limits.size_multiple}"
    with gr.Row(elem_classes="ql-controls"):
        names = [(m.name, m.id) for m in services.catalog.models.values()]
        which = gr.Dropdown(names, value=model.id, label="Model", min_width=150)
        seed = gr.Number(0, label="Seed", min_width=90, elem_id="ql-seed")
        steps = gr.Number(d.steps, label="Steps", min_width=80, elem_id="ql-steps")
        width = gr.Number(d.width, label="Width, px", min_width=90)
        height = gr.Number(d.height, label="Height, px", min_width=90)
    with gr.Accordion("More settings", open=False), gr.Row(elem_classes="ql-controls"):
        guidance = gr.Number(
            d.guidance,
            label="Guidance",
            info=try_edit.guidance_note(model),
            min_width=200,
        )
        length = gr.Number(
            d.sequence_length,
            label="Sequence length, tokens",
            info="Tokens that T5 gives to the transformer; more takes longer.",
            min_width=200,
        )
        lora = gr.Dropdown(
            try_edit.lora_choices(model),
            value="",
            label="LoRA on every plan",
            info=f"A listed one{elsewhere}; mono draws in black and white.",
            allow_custom_value=True,  # a link may hold one that is not known here any more
            min_width=200,
            elem_id="ql-lora",
        )
        weight = gr.Number(
            1.0,
            label="Weight of the LoRA",
            info=f"-{MAX_WEIGHT:g} to {MAX_WEIGHT:g}; 1 is as it was trained.",
            min_width=200,
        )
        gr.HTML(
            f'<p class="ql-limits">Seeds go to {MAX_SEED}, steps to {limits.max_steps}, '
            f"sizes from {sizes}, for flux-mini.</p>",
            apply_default_css=False,
        )
    return which, prompt, seed, steps, width, height, guidance, length, lora, weight
