"""Pictures to go by, for models that edit: a box to give them in, and what they take.

The box sends each to ``compare/taking.py`` and tells the page its digest, which stands among the
settings from then on. A link carries digests alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.table import Catalog
from quantlab.errors import QuantlabError
from quantlab.lab.references import file_of
from quantlab.ui.compare.taking import CLOSED, PATH
from quantlab.ui.named import Call, Updates
from quantlab.ui.services import Services
from quantlab.words.plan import Plan
from quantlab.words.units import size

__all__ = ["add_pictures", "clear_pictures", "digests_of", "pictures_box"]

_DIGEST = re.compile(r"[0-9a-f]{16}")
TYPES = "image/png,image/jpeg,image/webp"


def digests_of(text: object) -> tuple[str, ...]:
    """The digests that the setting holds; what is none is left out."""
    return tuple(part for part in re.split(r"[,\s]+", str(text or "")) if _DIGEST.fullmatch(part))


def add_pictures(call: Call) -> Updates:
    """Those that the box has sent, behind those that are named already, as many as are taken."""
    model = _model(call)
    told = call.event.get("digests")
    sent = [str(each) for each in told] if isinstance(told, list) else []
    new = [each for each in sent if _DIGEST.fullmatch(each) and file_of(each).is_file()]
    digests = (*digests_of(call.given["reference"]), *new)[: model.limits.max_references]
    return {
        "reference": ",".join(digests),
        "pictures": pictures_box(model, call.services, digests),
    }


def clear_pictures(call: Call) -> Updates:
    """No picture any more."""
    model = _model(call)
    return {"reference": "", "pictures": pictures_box(model, call.services)}


def _model(call: Call) -> Model:
    """The model that is chosen; what comes from a browser may be anything."""
    models = call.services.catalog.models
    return models.get(str(call.given["model"])) or next(iter(models.values()))


def pictures_box(model: Model, services: Services, digests: Sequence[str] = ()) -> str:
    """The box for ``model``; empty for one that goes by no picture."""
    most = model.limits.max_references
    if not most or model.family.reference is None:
        return ""
    if not services.takes_pictures:
        return f'<p class="ql-limits">{escape(CLOSED)}</p>'
    told = _takes(model, len(digests), services.catalog)
    chosen = f"{len(digests)} of {most} given" if digests else f"up to {most}"
    clear = '<button type="button" class="ql-button" data-clear>Take none</button>'
    return (
        f'<div class="ql-pictures"><label>Pictures to go by, {chosen}: <input type="file" '
        f'accept="{TYPES}" data-to="{PATH}" data-room="{most - len(digests)}"'
        f"{' multiple' if most > 1 else ''}{' disabled' if len(digests) >= most else ''}></label>"
        f'{clear if digests else ""}<span role="status"></span>'
        f'<p class="ql-limits">{escape(told)} PNG, JPEG or WebP; what a '
        "camera wrote beside the pixels is dropped. A link carries digests, not the pictures."
        "</p></div>"
    )


def _takes(model: Model, count: int, catalog: Catalog) -> str:
    """What each picture adds, by prediction, or what those that are given do."""
    plan, many = Plan(dtype=model.base_dtype), max(count, 1)
    try:
        with_them = needs_of(plan, model, picture_of(model, references=many), catalog=catalog)
        least = 1 if model.family.needs_reference else 0
        without = needs_of(plan, model, picture_of(model, references=least), catalog=catalog)
    except QuantlabError:
        return ""
    tokens = model.family.reference_tokens(many)
    more = with_them.resident_bytes - without.resident_bytes
    what = f"{many} pictures add" if many > 1 else "A picture adds"
    memory = f" and {size(more)} at the peak (predicted)" if more > 0 else ""
    alone = [
        f" The {model.family.label(name)} reads text alone; beside one, leave it out: {name}=none."
        for name in model.family.text_alone
    ]
    return f"{what} {tokens:,} tokens{memory}.{''.join(alone)}"
