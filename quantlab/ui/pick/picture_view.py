"""The picture of the first screen: one prompt in 16 bits and in fewer, with a divider to drag.

From the gallery that ships, without a run; every text is escaped here.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape

from quantlab.catalog.table import load_catalog
from quantlab.record.gallery import Gallery
from quantlab.record.store.row import Stored
from quantlab.ui.bands_view import badge
from quantlab.words.metrics import SCORES, in_words
from quantlab.words.units import size

__all__ = ["WHAT", "picture_of_bits"]

WHAT = (
    "Quantization keeps a model’s weights in fewer bits: it then fits a smaller card, and the "
    "picture moves a little."
)
USUAL_BITS = 4


@dataclass(frozen=True)
class _Side:
    """A plan's picture, how many bits it has, and its result."""

    bits: int
    row: Stored
    webp: bytes

    @property
    def src(self) -> str:
        return "data:image/webp;base64," + base64.b64encode(self.webp).decode()


def picture_of_bits(gallery: Gallery | None) -> str:
    """The divider, a button for each number of bits, and what is seen; nothing without pictures."""
    found = _sides(gallery) if gallery is not None else None
    if found is None:
        return ""
    base, others = found
    usual = next((side.bits for side in others if side.bits == USUAL_BITS), others[0].bits)
    subject = escape(base.row.comparison.prompt)
    images = "".join(_image(side, subject, usual) for side in others)
    chips = "".join(_chip(side, usual) for side in others)
    told = "".join(_told(side, base, usual) for side in others)
    return (
        '<figure class="ql-bits"><div class="ql-divider">'
        f'<img alt="{subject}, 16 bit" src="{base.src}" width="512" height="512">'
        f'<div class="ql-divided">{images}</div>'
        '<input type="range" min="0" max="100" value="50" data-divide '
        'aria-label="Divider: 16 bit on its left, fewer bits on its right">'
        f'<span class="ql-side" aria-hidden="true">16 bit</span>'
        f'<span class="ql-side" data-side aria-hidden="true">{usual} bit</span></div>'
        f'<figcaption><div class="ql-bit-chips" role="group" aria-label="Bits">{chips}</div>'
        f"{told}<p>{WHAT} "
        '<button type="button" class="ql-name" data-turn-to="Blind test">Can you tell which is '
        "which?</button></p></figcaption></figure>"
    )


def _sides(gallery: Gallery) -> tuple[_Side, list[_Side]] | None:
    wanted = gallery.contents.first
    catalog = load_catalog()
    found = {}
    for plan in (wanted.base, *wanted.plans):
        comparison = gallery.contents.comparison(plan, wanted.prompt, wanted.seed)
        row = next((row for row in gallery.find(comparison) if row.plan == plan), None)
        if row is not None:
            scheme = catalog.schemes.get(plan)
            bits = round(scheme.bits) if scheme else 16
            found[plan] = _Side(bits, row, gallery.webp(row))
    base = found.pop(wanted.base, None)
    return None if base is None or not found else (base, list(found.values()))


def _image(side: _Side, subject: str, usual: int) -> str:
    off = "" if side.bits == usual else " hidden"
    return (
        f'<img alt="{subject}, {side.bits} bit" src="{side.src}" data-bits="{side.bits}" '
        f'width="512" height="512"{off}>'
    )


def _chip(side: _Side, usual: int) -> str:
    pressed = "true" if side.bits == usual else "false"
    return (
        f'<button type="button" data-show-bits="{side.bits}" aria-pressed="{pressed}">'
        f"{side.bits} bit</button>"
    )


def _told(side: _Side, base: _Side, usual: int) -> str:
    """``flux-mini, bnb-nf4: 20.8 of 25.4 MiB, 37.6 dB PSNR`` and the word for it."""
    key = SCORES[0].key
    outcome = side.row.outcome
    score = in_words(outcome.scores).get(key, "the same pixels")
    off = "" if side.bits == usual else " hidden"
    model = load_catalog().models[side.row.comparison.model]
    part = model.denoiser
    takes, of = (row.outcome.weights_bytes[part] for row in (side.row, base.row))
    return (
        f'<p class="ql-bits-told" data-bits="{side.bits}" role="status"{off}>'
        f"<b>{escape(side.row.plan)}</b> on {escape(model.name)}, the small model that ships: its "
        f"{escape(part)} takes {size(takes)} instead of {size(of)}; {score} from the unquantized "
        f"picture {badge(key, outcome.scores.get(key))}</p>"
    )
