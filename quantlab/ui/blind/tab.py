"""The Blind test tab: two images, one guess, the answer, and how often everybody tells.

A guess is kept as plan, model and whether it was right; nothing about who made it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MethodType
from typing import Any

import gradio as gr

from quantlab.errors import StoreError
from quantlab.ui.blind.rounds import Game, Open, Pair, Side, deal, own_pairs, stored_pairs
from quantlab.ui.blind.view import answer, images, tallies
from quantlab.ui.compare.view import banner, zoom_bar
from quantlab.ui.services import Services
from quantlab.ui.state import Shown
from quantlab.ui.theme import HIDDEN, script

__all__ = ["Blind", "build_blind", "guess_left", "guess_right", "show", "turn"]

log = logging.getLogger(__name__)
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
ABOUT = (
    "<h2>Which one is quantized?</h2><p>Two images of one prompt and seed, shuffled. Guess, then "
    "see the answer with its numbers. Kept is which plan it was and whether the guess was right, "
    "nothing about you.</p>"
)
NOTHING = "There is no pair to show yet. Run a comparison in Try, with fp32 or bf16 first."
NO_MORE = "You have seen every pair there is. Run another comparison in Try, then come back."

Update = Any


@dataclass(frozen=True)
class Blind:
    """What the handlers work with: the page's services, and the rounds that wait for a guess."""

    services: Services
    opened: Open = field(default_factory=Open)


def build_blind(services: Services, shown: Any, tab: Any) -> None:
    """Lay the tab out and wire it; ``shown`` is the state of the Try tab, ``tab`` the gr.Tab."""
    game = gr.State(Game())
    with gr.Column(elem_classes="ql-blind ql-zoom-group"):
        gr.HTML(ABOUT, apply_default_css=False, elem_classes="ql-about")
        gr.HTML(zoom_bar(), apply_default_css=False)
        pair = gr.HTML(
            "", apply_default_css=False, elem_id="ql-pair", js_on_load=script("blind.js")
        )
        with gr.Row(elem_classes="ql-guess"):
            left = gr.Button("Left is quantized", elem_id="ql-left", visible=HIDDEN, min_width=130)
            right = gr.Button(
                "Right is quantized", elem_id="ql-right", visible=HIDDEN, min_width=130
            )
        told = gr.HTML("", apply_default_css=False, elem_id="ql-blind-answer")
        following = gr.Button("Next pair", elem_id="ql-next", visible=HIDDEN, variant="primary")
    counted = gr.HTML("", apply_default_css=False, elem_id="ql-tallies")
    blind = Blind(services)
    new = [game, pair, told, left, right, following, counted]
    tab.select(MethodType(show, blind), [game, shown], new, **QUIET)
    following.click(MethodType(turn, blind), [game, shown], new, **QUIET)
    guessed = [game, told, left, right, following, counted]
    left.click(MethodType(guess_left, blind), game, guessed, **QUIET)
    right.click(MethodType(guess_right, blind), game, guessed, **QUIET)


def show(blind: Blind, game: Game, shown: Shown) -> list[Update]:
    """The first round, or the one that is on the page already.

    Gives game, images, answer, both guesses, next, tallies.
    """
    if game.round is None:
        return turn(blind, game, shown)
    return [*[gr.skip() for _ in range(6)], _counted(blind.services)]


def turn(blind: Blind, game: Game, shown: Shown) -> list[Update]:
    """The next round: of the visitor's own comparison first, then of what is stored."""
    try:
        pair = _next(blind.services, game, shown)
    except StoreError as error:
        return _empty(game, str(error), blind.services)
    if pair is None:
        return _empty(game, NO_MORE if game.seen else NOTHING, blind.services)
    dealt = deal(pair, blind.opened)
    hidden, there = gr.update(visible=HIDDEN), gr.update(visible=True)
    return [
        Game(dealt, game.seen | {pair.key}),
        *(images(dealt), "", there, there, hidden),
        _counted(blind.services),
    ]


def _next(services: Services, game: Game, shown: Shown) -> Pair | None:
    mine = (pair for pair in own_pairs(shown) if pair.key not in game.seen)
    stored = stored_pairs(services.store, game.seen) if services.store is not None else iter(())
    return next(chain(mine, stored), None)


def _empty(game: Game, text: str, services: Services) -> list[Update]:
    hidden = gr.update(visible=HIDDEN)
    note = banner(text, problem=False)
    return [
        replace(game, round=None),
        *(note, "", hidden, hidden, hidden),
        _counted(services),
    ]


def guess_left(blind: Blind, game: Game) -> list[Update]:
    """The visitor says that the left image is quantized: see ``_guess``."""
    return _guess(blind, game, "left")


def guess_right(blind: Blind, game: Game) -> list[Update]:
    """The visitor says that the right image is quantized: see ``_guess``."""
    return _guess(blind, game, "right")


def _guess(blind: Blind, game: Game, side: Side) -> list[Update]:
    """The answer. A round counts one guess, however often and fast somebody presses.

    Gives game, answer, both guesses, next, tallies.
    """
    dealt = game.round
    if dealt is None or dealt.guess is not None or not blind.opened.take(dealt.token):
        return [gr.skip() for _ in range(6)]
    dealt = replace(dealt, guess=side)
    _keep(blind.services, dealt.pair, told=dealt.told)
    hidden = gr.update(visible=HIDDEN)
    return [
        replace(game, round=dealt),
        answer(dealt),
        *(hidden, hidden, gr.update(visible=True)),
        _counted(blind.services),
    ]


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
