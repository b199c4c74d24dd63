"""The Blind test tab: two images, one guess, the answer, and how often everybody tells.

A guess is kept as plan, model and whether it was right; nothing about who made it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import gradio as gr

from quantlab.errors import StoreError
from quantlab.ui.blind.rounds import Game, Open, Pair, deal, gallery_pairs, own_pairs, stored_pairs
from quantlab.ui.blind.view import answer, images, tallies
from quantlab.ui.compare.stage.view import banner, zoom_bar
from quantlab.ui.named import QUIET, Call, Updates, only, wire
from quantlab.ui.services import Services
from quantlab.ui.state import Shown
from quantlab.ui.theme import HIDDEN, script

__all__ = ["build_blind", "guess", "show", "turn"]

log = logging.getLogger(__name__)
ABOUT = (
    "<h2>Which one is quantized?</h2><p>Two images of one prompt and seed, shuffled. Guess, then "
    "see the answer with its numbers. Kept is which plan it was and whether the guess was right, "
    "nothing about you.</p>"
)
DEALING = '<p class="ql-hint" role="status">Dealing a pair…</p>'
NOTHING = "There is no pair to show yet. Run one in Compare, with fp32 or bf16 first."
NO_MORE = "You have seen every pair there is. Run another in Compare, then come back."


def build_blind(services: Services, shown: Any, tab: Any) -> None:
    """Lay the tab out and wire it; ``shown`` is that of the Compare tab, ``tab`` the gr.Tab."""
    game = gr.State(Game())
    with gr.Column(elem_classes="ql-blind ql-zoom-group"):
        gr.HTML(ABOUT, apply_default_css=False, elem_classes="ql-about")
        gr.HTML(zoom_bar(), apply_default_css=False)
        pair = gr.HTML(
            DEALING, apply_default_css=False, elem_id="ql-pair", js_on_load=script("blind.js")
        )
        with gr.Row(elem_classes="ql-guess"):
            left = gr.Button("Left is quantized", elem_id="ql-left", visible=HIDDEN, min_width=130)
            right = gr.Button(
                "Right is quantized", elem_id="ql-right", visible=HIDDEN, min_width=130
            )
        told = gr.HTML("", apply_default_css=False, elem_id="ql-blind-answer")
        following = gr.Button("Next pair", elem_id="ql-next", visible=HIDDEN, variant="primary")
    parts = {
        "game": game,
        "pair": pair,
        "told": told,
        "left": left,
        "right": right,
        "next": following,
        "counted": gr.HTML("", apply_default_css=False, elem_id="ql-tallies"),
    }
    opened, inputs = Open(), {"game": game, "shown": shown}
    wire(tab.select, partial(show, opened), services, inputs, parts, **QUIET)
    wire(following.click, partial(turn, opened), services, inputs, parts, **QUIET)
    guessed = only(parts, "game", "told", "left", "right", "next", "counted")
    for side, button in (("left", left), ("right", right)):
        given = {"game": game, "side": gr.State(side)}
        wire(button.click, partial(guess, opened), services, given, guessed, **QUIET)


def show(opened: Open, call: Call) -> Updates:
    """The first round, or the one that is on the page already."""
    if call.given["game"].round is None:
        return turn(opened, call)
    return {"counted": _counted(call.services)}


def turn(opened: Open, call: Call) -> Updates:
    """The next round: of the visitor's own comparison first, then of what is stored, then of the
    gallery that ships."""
    services, game = call.services, call.given["game"]
    try:
        pair = _next(services, game, call.given["shown"])
    except StoreError as error:
        return _empty(game, str(error), services)
    if pair is None:
        return _empty(game, NO_MORE if game.seen else NOTHING, services)
    dealt = deal(pair, opened)
    there = gr.update(visible=True)
    return {
        "game": Game(dealt, game.seen | {pair.key}),
        "pair": images(dealt),
        "told": "",
        "left": there,
        "right": there,
        "next": gr.update(visible=HIDDEN),
        "counted": _counted(services),
    }


def _next(services: Services, game: Game, shown: Shown) -> Pair | None:
    mine = (pair for pair in own_pairs(shown) if pair.key not in game.seen)
    stored = stored_pairs(services.store, game.seen) if services.store is not None else iter(())
    gallery = services.gallery
    shipped = gallery_pairs(gallery, game.seen) if gallery is not None else iter(())
    return next(chain(mine, stored, shipped), None)


def _empty(game: Game, text: str, services: Services) -> Updates:
    hidden = gr.update(visible=HIDDEN)
    return {
        "game": replace(game, round=None),
        "pair": banner(text, problem=False),
        "told": "",
        "left": hidden,
        "right": hidden,
        "next": hidden,
        "counted": _counted(services),
    }


def guess(opened: Open, call: Call) -> Updates:
    """The answer to the visitor's guess. A round counts one, however often and fast they press."""
    game = call.given["game"]
    dealt = game.round
    if dealt is None or dealt.guess is not None or not opened.take(dealt.token):
        return {}
    dealt = replace(dealt, guess=call.given["side"])
    _keep(call.services, dealt.pair, told=dealt.told)
    hidden = gr.update(visible=HIDDEN)
    return {
        "game": replace(game, round=dealt),
        "told": answer(dealt),
        "left": hidden,
        "right": hidden,
        "next": gr.update(visible=True),
        "counted": _counted(call.services),
    }


def _keep(services: Services, pair: Pair, *, told: bool) -> None:
    if services.store is None:
        return
    try:
        services.store.save_guess(str(pair.plan), pair.comparison.model, told)
    except StoreError as error:
        log.warning("a guess was not kept: %s", error)
        gr.Warning(f"This guess is not counted. {error}")


def _counted(services: Services) -> str:
    if services.store is None:
        return banner("Guesses are not kept: there is no store of results.", problem=False)
    try:
        return tallies(services.store.guesses())
    except StoreError as error:
        return banner(str(error), problem=False)
