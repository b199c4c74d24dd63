"""The code that stands before a scheme's claims, or why there is none for the chosen model."""

from __future__ import annotations

from html import escape

from quantlab.catalog.comparison import make_comparison
from quantlab.errors import QuantlabError
from quantlab.record.documents import placed_script
from quantlab.ui.compare.stage.view import take_box
from quantlab.ui.services import Services

__all__ = ["code_first"]

PROMPT = "a red fox in the snow, photograph"


def code_first(key: str, model_id: str, services: Services) -> str:
    """Working code for the scheme on the model, open; else *this fails because*, in a sentence.

    What the keys name comes from the browser and may be nothing.
    """
    catalog = services.catalog
    model, scheme = catalog.models.get(model_id), catalog.schemes.get(key)
    if scheme is None:
        return ""
    if model is None:
        return '<p class="ql-hint">Choose a model above, and its code stands here.</p>'
    try:
        made = make_comparison(model=model.id, plans=[scheme.id], prompt=PROMPT, catalog=catalog)
        text = services.do(placed_script, made, "resident", "")
    except QuantlabError as error:
        return (
            f'<p class="ql-banner"><b>This fails for {escape(model.name)} because</b> '
            f"{escape(str(error))}</p>"
        )
    return take_box(f"Code: {scheme.name} on {model.name}", text, opened=True)
