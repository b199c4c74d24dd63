"""The blind test as HTML: two images without names, the answer with its numbers, and all guesses.

Pure functions; every text is escaped here. Nothing but ``answer`` knows which image is which.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from quantlab.lab.libraries import resolve
from quantlab.record.store.guesses import GuessTally
from quantlab.ui.bands_view import badge
from quantlab.ui.blind.rounds import Round
from quantlab.words.metrics import in_words
from quantlab.words.text import shown as visible
from quantlab.words.units import size

__all__ = ["answer", "images", "share_told", "tallies"]

CHANCE = 0.5
CONFIDENCE = 0.95


def images(shown: Round | None) -> str:
    """Both images side by side, and what they were asked to show; empty without a round."""
    if shown is None:
        return ""
    sides = "".join(
        f'<figure><div class="ql-stage" tabindex="0" role="group" aria-label="{name} image">'
        f'<span><img alt="{name} image" src="{_inline(png)}"></span></div>'
        f"<figcaption>{name}</figcaption></figure>"
        for name, png in (("Left", shown.left), ("Right", shown.right))
    )
    prompt = escape(visible(shown.pair.comparison.prompt))
    return (
        f'<div class="ql-pair">{sides}</div>'
        f'<p class="ql-hint">Both are “{prompt}” with the same seed. '
        "One comes from quantized weights.</p>"
    )


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def answer(shown: Round | None) -> str:
    """Whether the guess was right, and the numbers of the quantized one; empty before a guess."""
    if shown is None or shown.guess is None:
        return ""
    pair = shown.pair
    said = "Correct" if shown.told else "Not this time"
    sign = "✓" if shown.told else "✗"
    reference = str(pair.comparison.plans[0])
    bytes_ = sum(pair.outcome.weights_bytes.values())
    base = sum(pair.reference_outcome.weights_bytes.values())
    share = f", {bytes_ / base:.0%} of {escape(reference)}" if base else ""
    other = "right" if shown.quantized == "left" else "left"
    scores = pair.outcome.scores
    figures = [f"{text} {badge(key, scores[key])}" for key, text in in_words(scores).items()]
    lead = f"<b>{figures[0]}</b>" if figures else ""
    return (
        f'<div class="ql-verdict-box is-{shown.quantized}" role="status"><p class="ql-lead">'
        f'<b><span aria-hidden="true">{sign}</span> {said}:</b> the {shown.quantized} image is '
        f"{escape(str(pair.plan))}, the {other} one {escape(reference)}.</p>"
        f'<p class="ql-judged">{" ".join([lead, *figures[1:]])}</p>'
        f"<p>{size(bytes_)} of weights{share}. {escape(pair.origin)}</p></div>"
    )


def share_told(tally: GuessTally) -> tuple[float, float, float]:
    """Share of guesses that were right, and its Wilson score interval at 95 %; all 0 to 1.

    Wilson 1927, by scipy.stats.binomtest.
    """
    test = resolve("scipy.stats.binomtest")(tally.told, tally.shown, CHANCE)
    found = test.proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return tally.told / tally.shown, float(found.low), float(found.high)


def tallies(found: Sequence[GuessTally]) -> str:
    """How often each plan is told from its reference, beside chance."""
    asked = [tally for tally in found if tally.shown]
    if not asked:
        return '<p class="ql-hint">Nobody has guessed yet.</p>'
    asked.sort(key=lambda tally: (-tally.shown, tally.plan))
    rows = "".join(_row(tally) for tally in asked)
    save = '<button type="button" class="ql-button" data-save-table="guesses">Download as CSV'
    return (
        "<div data-saved><h2>How often people tell</h2>"
        '<div class="ql-tallies-scroll" tabindex="0" role="region" aria-label="Guesses">'
        '<table class="ql-tallies"><thead><tr><th scope="col">Plan</th>'
        '<th scope="col">Told</th><th scope="col">Share, with 95% interval</th>'
        f'<th scope="col">Against chance, 50%</th></tr></thead><tbody>{rows}</tbody></table></div>'
        f'<p class="ql-facts-save">{save}</button></p></div>'
    )


def _row(tally: GuessTally) -> str:
    share, low, high = share_told(tally)
    words = "no more than guessing, so far"
    if low > CHANCE:
        words = "told apart"
    elif high < CHANCE:
        words = "the reference is taken for the quantized one"
    return (
        f'<tr><th scope="row">{escape(tally.plan)}<span class="ql-method">{escape(tally.model)}'
        f'</span></th><td class="ql-number">{tally.told} of {tally.shown}</td>'
        f"<td>{share:.0%} ({low:.0%} to {high:.0%})"
        f'<span class="ql-interval" aria-hidden="true">'
        f'<i style="left:{low:.1%};width:{high - low:.1%}"></i>'
        f'<b style="left:{share:.1%}"></b></span></td><td>{words}</td></tr>'
    )
