"""The controls of the Compare tab beside its columns: the model, and one for each setting."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import gradio as gr

from quantlab.catalog.advice import in_words, tokens_kept
from quantlab.catalog.loras import lora_names
from quantlab.catalog.schema import Model
from quantlab.ui.compare.pictures import pictures_box
from quantlab.ui.services import Services
from quantlab.ui.state import FIELDS, ROWS
from quantlab.ui.theme import script
from quantlab.words.settings import SETTINGS, Setting, Value

__all__ = ["anew", "build_fields", "limits_line", "of_model"]

LEAST_WIDTH = {False: 90, True: 200}
"""Pixels of a control, by whether it is folded away."""


def build_fields(services: Services, model: Model, prompt: Any) -> Mapping[str, Any]:
    """Lay the controls out; they come back by key, in the order of ``state.FIELDS``, and
    ``limits`` and ``pictures``, what stands under them."""
    fields = {"prompt": prompt}
    with gr.Row(elem_classes="ql-controls"):
        names = [(m.name, m.id) for m in services.catalog.models.values()]
        fields["model"] = gr.Dropdown(names, value=model.id, label="Model", min_width=150)
        for row in ROWS:
            if not row.advanced and row.key not in fields:
                fields[row.key] = _control(row, model)
    with gr.Accordion("More settings", open=False), gr.Row(elem_classes="ql-controls"):
        for row in ROWS:
            if row.advanced:
                fields[row.key] = _control(row, model)
        limits = gr.HTML(limits_line(model), apply_default_css=False)
    box = gr.HTML(
        pictures_box(model, services),
        elem_id="ql-pictures",
        apply_default_css=False,
        js_on_load=script("pictures.js"),
    )
    return {**{key: fields[key] for key in FIELDS}, "limits": limits, "pictures": box}


def _control(row: Setting, model: Model) -> Any:
    about = {"label": row.label, "info": _info(row, model) or None, "elem_id": f"ql-{row.part}"}
    value, width = of_model(row, model), LEAST_WIDTH[row.advanced]
    if row.listed:
        return gr.Dropdown(
            _choices(row, model),
            value=value,
            allow_custom_value=True,  # a link may hold one that is not known here any more
            min_width=width,
            **about,
        )
    if row.kind == "text":
        return gr.Textbox(value, max_length=row.longest, max_lines=1, min_width=width, **about)
    if row.kind == "flag":
        return gr.Checkbox(bool(value), min_width=width, **about)
    return gr.Number(value, min_width=width, **about)


def of_model(row: Setting, model: Model) -> Value | None:
    """What the control of ``row`` holds where nothing is said about ``model``."""
    value = getattr(model.defaults, row.key) if row.from_model else row.default
    return _EMPTY.get(row.kind) if value is None else value


_EMPTY: Mapping[str, Value] = {"text": "", "flag": False}
"""What a control holds where nothing is given, by its row's kind."""


def anew(row: Setting, model: Model, value: Value | None = None) -> Any:
    """The control of ``row`` when ``model`` is chosen, with ``value`` or the model's own."""
    told: dict[str, Any] = {"value": of_model(row, model) if value is None else value}
    if row.listed:
        told["choices"] = _choices(row, model)
    if row.key in _INFO:
        told["info"] = _info(row, model)
    return gr.update(**told) if len(told) > 1 else told["value"]


def _choices(row: Setting, model: Model) -> list[tuple[str, str]]:
    """None, and those values of ``row`` that are listed for ``model``."""
    return [("none", ""), *((name, name) for name in _LISTED[row.listed](model))]


_LISTED: Mapping[str, Callable[[Model], tuple[str, ...]]] = {"loras": lora_names}
"""The values that the catalogue lists, by the name of the list."""


def _info(row: Setting, model: Model) -> str:
    return _INFO[row.key](model) if row.key in _INFO else row.info


def _about_guidance(model: Model) -> str:
    if model.guidance != "none":
        return "How strongly the prompt steers; 0 to 20."
    return f"{model.name} has no guidance: this changes nothing."


def _about_lora(_: Model) -> str:
    elsewhere = "" if os.environ.get("SPACE_ID") else ", or owner/name on the hub"
    return f"A listed one{elsewhere}; mono draws in black and white."


_INFO: Mapping[str, Callable[[Model], str]] = {
    "guidance": _about_guidance,
    "lora": _about_lora,
}
"""What stands under a control and depends on the model or the place."""


def limits_line(model: Model) -> str:
    """What the numbers that stand in front may be, for ``model``, and how much of a prompt its text
    encoders read, as HTML."""
    limits, said = vars(model.limits), []
    for row in SETTINGS:
        if row.kind == "whole" and not row.advanced:
            low, high = row.bounds(limits)
            step = limits[row.multiple] if isinstance(row.multiple, str) else row.multiple
            steps = f", in steps of {step}" if step != 1 else ""
            said.append(f"{row.label}: {low:.0f} to {high:.0f}{steps}")
    kept = f"Of a prompt {in_words(tokens_kept(model, model.defaults.sequence_length))} tokens."
    lines = f"{'; '.join(said)}; for {model.name}.", kept if model.family.encoders else ""
    return "".join(f'<p class="ql-limits">{escape(line)}</p>' for line in lines if line)
