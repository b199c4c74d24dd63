"""The stage of the Compare tab as HTML: one large picture of two plans, and a strip of all of them.

What is on the left and on the right, and how they are held together, is the visitor's own business
and stays in the browser (static/stage.js). Pure functions; every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from quantlab.catalog.bands import load_bands
from quantlab.ui.compare.stage.view import STATES
from quantlab.ui.results.plot import short
from quantlab.ui.state import Result, Shown
from quantlab.ui.words import LETTERS
from quantlab.words.metrics import SCORES
from quantlab.words.outcome import Outcome

__all__ = ["Seat", "address_of", "stage"]

MODES = (
    ("divider", "Divider"),
    ("side", "Side by side"),
    ("difference", "Difference"),
    ("flicker", "Flicker"),
    ("flip", "FLIP map"),
)
AMPLIFICATIONS = (1, 4, 8, 16)
USUAL = 8
"""Times that a difference is amplified."""


@dataclass(frozen=True)
class Seat:
    """A plan in the strip: its picture's file, its state, and its result where there is one.

    ``differs`` is what is to be said of its picture's difference from the reference's.
    """

    plan: str
    state: str
    path: str | None = None
    result: Result | None = None
    differs: str = ""

    @property
    def outcome(self) -> Outcome | None:
        """Of the result."""
        return self.result.outcome if self.result else None


def stage(seats: Sequence[Seat], shown: Shown) -> str:
    """Modes, the large picture, and the strip; without pictures the strip alone."""
    size = shown.comparison
    ratio = f"{size.width / size.height:.4f}" if size is not None else "1"
    thumbs = "".join(_thumb(index, seat) for index, seat in enumerate(seats))
    there = [index for index, seat in enumerate(seats) if seat.path]
    view = _view(ratio) if there else _nothing(seats)
    return (
        f'<div class="ql-stage-box" data-far="{_farthest(seats)}">{view}'
        f'<div class="ql-strip" role="group" aria-label="Plans">{thumbs}</div></div>'
    )


def _view(ratio: str) -> str:
    modes = "".join(
        f'<button type="button" class="ql-button" data-mode="{mode}" '
        f'aria-pressed="{"true" if mode == "divider" else "false"}">{name}</button>'
        for mode, name in MODES
    )
    factors = "".join(
        f'<option value="{times}"{" selected" if times == USUAL else ""}>{times}×</option>'
        for times in AMPLIFICATIONS
    )
    return (
        f'<div class="ql-stage-bar"><div class="ql-modes" role="group" aria-label="View">{modes}'
        "</div>"
        f'<label class="ql-times">Amplified <select data-times>{factors}</select></label>'
        '<div class="ql-zoom-bar" role="group" aria-label="Zoom">'
        '<button type="button" class="ql-button" data-zoom="out" aria-label="Zoom out">−</button>'
        '<output class="ql-zoom-level" aria-live="polite">1×</output>'
        '<button type="button" class="ql-button" data-zoom="in" aria-label="Zoom in">+</button>'
        '<button type="button" class="ql-button" data-zoom="reset" aria-label="Whole picture">'
        "Reset</button></div></div>"
        f'<div class="ql-view" data-view="divider" style="--ratio:{ratio}">'
        '<div class="ql-stage ql-pane" data-pane="left" tabindex="0" role="group" '
        'aria-label="Left picture"><span><img alt=""></span></div>'
        '<div class="ql-stage ql-pane" data-pane="right" tabindex="-1" role="group" '
        'aria-label="Right picture"><span><img alt=""></span></div>'
        '<input type="range" min="0" max="100" value="50" data-divide aria-label="Divider">'
        '<span class="ql-side" data-name="left"></span>'
        '<span class="ql-side" data-name="right"></span></div>'
        '<p class="ql-stage-told"><span role="status" data-told></span>'
        "<span>Keys 1 to 6 put a plan on the right, with Shift on the left; Space flickers.</span>"
        "</p>"
    )


def _nothing(seats: Sequence[Seat]) -> str:
    """Where the picture will be."""
    busy = any(seat.state in ("queued", "waiting", "running", "stopping") for seat in seats)
    text = "The first picture appears here in a moment." if busy else "Press Run."
    return f'<div class="ql-view is-empty" style="--ratio:1"><p>{text}</p></div>'


def _thumb(index: int, seat: Seat) -> str:
    letter, sign = LETTERS[index], STATES[seat.state]
    name = short(seat.plan)
    image = (
        f'<img alt="" src="{escape(address_of(seat.path))}">'
        if seat.path
        else f'<span class="ql-blank is-{seat.state}" aria-hidden="true">{sign[0]}</span>'
    )
    dots, word = _closeness(index, seat)
    label = f"Plan {letter}, {seat.plan}: {word}"
    src = f' data-src="{escape(address_of(seat.path))}"' if seat.path else ""
    return (
        f'<div class="ql-thumb" data-index="{index}" data-plan="{escape(seat.plan)}"{src} '
        f'data-short="{escape(name)}" '
        f'data-differs="{escape(seat.differs)}">'
        f'<button type="button" data-put aria-label="{escape(label)}" aria-pressed="false">{image}'
        f'<span class="ql-letter" aria-hidden="true">{letter}</span>'
        f"<b>{escape(name)}</b>{dots}</button>"
        f'<button type="button" class="ql-change" data-change="{index}" aria-expanded="false" '
        f'aria-label="Change plan {letter}">Change</button></div>'
    )


def _closeness(index: int, seat: Seat) -> tuple[str, str]:
    """Dots and word of a result; sign and word of what is no result yet."""
    outcome = seat.outcome
    sign, word = STATES[seat.state]
    if outcome is None or outcome.error is not None:
        return f'<span class="ql-state is-{seat.state}">{sign} {word}</span>', word
    if index == 0:
        return '<span class="ql-state">reference</span>', "reference"
    key = SCORES[0].key
    if not outcome.held:
        return '<span class="ql-state is-done">not compared</span>', "not compared"
    bands = load_bands()
    band = bands.of(SCORES[0], outcome.scores.get(key))
    full = len(bands.bands) - 1
    dots = "●" * band.level + "○" * (full - band.level)
    text = f'<span class="ql-dots" aria-hidden="true">{dots}</span> {escape(band.word)}'
    return f'<span class="ql-state is-band-{band.level}">{text}</span>', band.word


def _farthest(seats: Sequence[Seat]) -> int:
    """The seat whose picture is farthest from the reference's; the last one where none is told."""
    key = SCORES[0].key
    told = [
        (outcome.scores[key], index)
        for index, seat in enumerate(seats)
        if (outcome := seat.outcome) is not None and seat.path and key in outcome.scores
    ]
    pictured = [index for index, seat in enumerate(seats) if seat.path]
    return min(told)[1] if told else max(pictured, default=0)


def address_of(path: str | None) -> str:
    """Where the page serves a file of its cache, beside the page itself."""
    return f"gradio_api/file={quote(path)}" if path else ""
