"""A closed box on the first tab: what quantization does, when to use what, the two forms."""

from __future__ import annotations

from html import escape

import gradio as gr

from quantlab.catalog.paths import PROJECT
from quantlab.ui.fold import fold
from quantlab.ui.learn.number_line import number_line
from quantlab.ui.theme import script

__all__ = ["build_learn"]

WHAT = (
    "A model is billions of numbers, its weights. Quantizing stores each with fewer bits: 4 bits "
    "take a quarter of the memory of 16, and each weight becomes the nearest of sixteen values "
    "instead of one of 65,536. What is lost is the distance between the two."
)
WHEN = (
    ("It fits as it is", "Take nothing: 16 bits are fastest or close to it."),
    (
        "It nearly fits",
        "8 bits (torchao int8, bitsandbytes or quanto on any device): hard to tell from 16.",
    ),
    (
        "It does not fit",
        "4 bits (bitsandbytes NF4 on a GPU, SDNQ or a GGUF file anywhere), for the text encoder "
        "too: it can be as large as what draws.",
    ),
    (
        "You want speed",
        "8-bit types that compute in 8 bits (torchao, dynamic) and torch.compile, on a card that "
        "has them; most others save memory alone.",
    ),
    (
        "You have a LoRA",
        "Load it before quantizing, or take a scheme whose row says that it takes one after.",
    ),
    ("Below 4 bits", "Only where nothing else fits: the picture changes."),
)
FORMS = (
    (
        "One config for each component (quant_mapping)",
        "two-forms-mapping.py",
        "Works with every library. The denoiser and the image decoder are of diffusers, text "
        "encoders of transformers: each takes its own library's class.",
    ),
    (
        "One backend for all (quant_backend)",
        "two-forms-simple.py",
        "Shorter, and for backends alone whose two classes take the same arguments: bitsandbytes "
        "and AutoRound. Name the components; else the image decoder is quantized too.",
    ),
)
LINKS = (
    (
        "Quantization Fundamentals (course)",
        "https://www.deeplearning.ai/short-courses/quantization-fundamentals-with-hugging-face/",
    ),
    (
        "Quantization in Depth (course)",
        "https://www.deeplearning.ai/short-courses/quantization-in-depth/",
    ),
    ("diffusers on quantization", "https://huggingface.co/docs/diffusers/quantization/overview"),
    (
        "transformers on quantization",
        "https://huggingface.co/docs/transformers/quantization/overview",
    ),
    (
        "Choosing a method (transformers)",
        "https://huggingface.co/docs/transformers/quantization/selecting",
    ),
    (
        "A new method for transformers",
        "https://huggingface.co/docs/transformers/quantization/contribute",
    ),
)


def build_learn() -> None:
    """Place the box."""
    with fold("What do fewer bits cost, and when to use what?", "ql-learn"):
        gr.HTML(f"<p>{WHAT}</p>{number_line()}{_when()}", apply_default_css=False)
        for title, file, about in FORMS:
            gr.HTML(
                _form(title, file, about), apply_default_css=False, js_on_load=script("copy.js")
            )
        gr.HTML(_links(), apply_default_css=False)


def _when() -> str:
    rows = "".join(f"<dt>{escape(case)}</dt><dd>{escape(advice)}</dd>" for case, advice in WHEN)
    return f'<h3>When to use what</h3><dl class="ql-when">{rows}</dl>'


def _form(title: str, file: str, about: str) -> str:
    text = (PROJECT / "data" / "learn" / file).read_text(encoding="utf-8")
    return (
        f'<h3>{escape(title)}</h3><p>{escape(about)}</p><div class="ql-code">'
        '<button type="button" class="ql-button" data-copy>Copy</button>'
        '<span class="ql-hint" role="status"></span>'
        f'<pre tabindex="0" role="region" aria-label="{escape(title)}">{escape(text)}</pre></div>'
    )


def _links() -> str:
    items = "".join(
        f'<li><a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{escape(name)}</a>'
        "</li>"
        for name, url in LINKS
    )
    return f'<h3>To read on</h3><ul class="ql-links">{items}</ul>'
