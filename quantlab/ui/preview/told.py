"""What a link to the page is about: a title, a sentence, and the picture for a preview of it.

From the address alone and from what is stored; nothing is fetched and nothing is run.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantlab.errors import InputError, QuantlabError, StoreError
from quantlab.record.card import Tile, draw_card
from quantlab.record.gallery import Gallery
from quantlab.record.link import from_query, result_id
from quantlab.ui.compare.share import opened
from quantlab.ui.compare.stage.board import state_of
from quantlab.ui.services import Services
from quantlab.ui.state import Shown
from quantlab.words.comparison import Comparison
from quantlab.words.metrics import SCORES, in_words
from quantlab.words.settings import described
from quantlab.words.text import shown as visible
from quantlab.words.units import size

__all__ = ["ABOUT", "TITLE", "Told", "picture", "told"]

TITLE = "quantlab: which quantization for your card"
ABOUT = (
    "Which quantization to take for your card, your memory and your patience, what it does to the "
    "picture, and the script to take away."
)
LONGEST = 90
"""Characters of a prompt in a title."""


@dataclass(frozen=True)
class Told:
    """Title and description; ``own`` is whether they are those of a link's comparison."""

    title: str = TITLE
    about: str = ABOUT
    own: bool = False


def told(query: str, services: Services) -> Told:
    """What the page opened with ``query`` is about; the page itself where that asks for nothing, or
    cannot be read."""
    try:
        if result_id(query) is None:
            comparison, shown = from_query(query, services.catalog), None
        else:
            seen = opened(query, services)
            shown = seen.shown if seen else None
            comparison = shown.comparison if shown else None
    except (InputError, StoreError):
        return Told()
    if comparison is None:
        return Told()
    return Told(_title(comparison), _about(comparison, shown, services), own=True)


def _title(comparison: Comparison) -> str:
    prompt = " ".join(visible(comparison.prompt).split())
    cut = prompt if len(prompt) <= LONGEST else prompt[: LONGEST - 1].rstrip() + "…"
    plans = list(dict.fromkeys(map(str, comparison.plans)))
    named = f"{', '.join(plans[:-1])} and {plans[-1]}" if len(plans) > 1 else plans[0]
    return f"“{cut}” in {named}" if cut else named


def _about(comparison: Comparison, shown: Shown | None, services: Services) -> str:
    model = services.catalog.models.get(comparison.model)
    name = model.name if model else comparison.model
    said = f"{name}, {', '.join(described(dict(comparison.settings)))}."
    measured = [_measured(plan, shown) for plan in map(str, comparison.plans)] if shown else []
    found = "; ".join(text for text in measured if text)
    return f"{found}. {said}" if found else f"{said} Side by side in quantlab."


def _measured(plan: str, shown: Shown) -> str:
    """``bnb-nf4: 20.8 MiB, 37.6 dB PSNR``; nothing where it has no result."""
    result = shown.get(plan)
    if result is None or state_of(result.outcome) != "done":
        return ""
    outcome = result.outcome
    figures = [size(outcome.cost("weights_bytes"))]
    if (score := SCORES[0].key) in outcome.scores:
        figures.append(in_words(outcome.scores)[score])
    return f"{plan}: {', '.join(figures)}"


def picture(query: str, services: Services) -> bytes:
    """The preview's picture as PNG: the stored pictures of the link's comparison, else those of the
    page's first screen."""
    about = told(query, services)
    if about.own:
        try:
            seen = opened(query, services)
        except QuantlabError:
            seen = None
        shown = seen.shown if seen else Shown()
        tiles = [Tile(plan, png) for plan, each in shown.results if (png := each.png) is not None]
        return draw_card(about.title, tiles, _foot(shown.comparison, services))
    return draw_card(ABOUT.partition(", what")[0] + "?", _first(services.gallery), "quantlab")


def _foot(comparison: Comparison | None, services: Services) -> str:
    model = services.catalog.models.get(comparison.model) if comparison else None
    return f"quantlab, {model.name}" if model else "quantlab"


def _first(gallery: Gallery | None) -> list[Tile]:
    """The pictures of the first screen: 16 bits beside fewer."""
    if gallery is None:
        return []
    wanted, tiles = gallery.contents.first, []
    for plan in (wanted.base, *wanted.plans):
        comparison = gallery.contents.comparison(plan, wanted.prompt, wanted.seed)
        row = next((row for row in gallery.find(comparison) if row.plan == plan), None)
        if row is not None:
            tiles.append(Tile(plan, gallery.webp(row)))
    return tiles
