"""What a column of the Compare tab shows, as HTML: its state, and figures beside the reference.

Pure functions of outcomes; every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from quantlab.ui.bands_view import badge
from quantlab.ui.compare.stage.measured_view import how_it_ran
from quantlab.ui.state import Result
from quantlab.ui.words import LETTERS, PEAK_KINDS, when
from quantlab.words.metrics import COSTS, SCORES, in_words
from quantlab.words.outcome import Outcome
from quantlab.words.outcome_text import floor_text, modes_text
from quantlab.words.units import seconds, size

__all__ = [
    "banner",
    "code_box",
    "difference_note",
    "figures",
    "head",
    "label",
    "link_box",
    "origin",
    "progress",
    "zoom_bar",
]

STATES = {
    "idle": ("○", "not run yet"),
    "queued": ("⋯", "queued"),
    "waiting": ("◌", "waiting for its turn"),
    "running": ("▸", "running"),
    "stopping": ("◧", "stopping"),
    "done": ("✓", "done"),
    "stopped": ("■", "stopped"),
    "failed": ("✗", "failed"),
}
"""Sign and word of each state of a column."""

COMPONENTS = {
    "transformer": "transformer",
    "text_encoder": "text encoder",
    "text_encoder_2": "T5 encoder",
    "vae": "image decoder",
}


def label(index: int, plan: str) -> str:
    """What a column is called in lists: ``B · bnb-nf4``."""
    return f"{LETTERS[index]} · {plan}"


def banner(text: str, *, problem: bool = True) -> str:
    """One sentence across the page; empty text gives nothing."""
    if not text:
        return ""
    kind, role = ("is-problem", "alert") if problem else ("is-note", "status")
    return f'<p class="ql-banner {kind}" role="{role}">{escape(text)}</p>'


def link_box(url: str, note: str = "", *, shared: bool = False) -> str:
    """The link to copy, or why there is none: to a comparison, or to what was ``shared``."""
    off = "" if url else " disabled"
    name = "ql-share-url" if shared else "ql-link-url"
    what = "Link to what is seen now" if shared else "Link to this comparison"
    return (
        f'<label for="{name}">{what}</label><div class="ql-link-line">'
        f'<input id="{name}" type="text" readonly value="{escape(url)}">'
        f'<button type="button" class="ql-button" data-copy{off}>Copy</button></div>'
        f'<p class="ql-hint" role="status">{escape(note)}</p>'
    )


def code_box(script: str, plan: str) -> str:
    """A script to read and copy."""
    if not script:
        return ""
    return (
        '<div class="ql-code"><button type="button" class="ql-button" data-copy>Copy</button>'
        '<span class="ql-hint" role="status"></span>'
        f'<pre tabindex="0" role="region" aria-label="Script of {escape(plan)}">'
        f"{escape(script)}</pre></div>"
    )


def difference_note(text: str) -> str:
    """What the picture of a difference shows."""
    return f'<p class="ql-hint" role="status">{escape(text)}</p>'


def zoom_bar() -> str:
    """The buttons of static/zoom.js for the images of the group that they stand in."""
    buttons = "".join(
        f'<button type="button" class="ql-button" data-zoom="{way}" aria-label="{name}">{sign}'
        "</button>"
        for way, name, sign in (
            ("out", "Zoom all images out", "−"),
            ("in", "Zoom all images in", "+"),
            ("reset", "Whole images", "Reset"),
        )
    )
    return (
        f'<div class="ql-zoom-bar" role="group" aria-label="Zoom">{buttons}'
        '<output class="ql-zoom-level" aria-live="polite">1×</output>'
        '<span class="ql-hint">All images move together: select one, then turn the wheel, pinch, '
        "drag, or press + − and the arrows; 0 goes back.</span></div>"
    )


def progress(text: str, fraction: float | None = None) -> str:
    """The bar above the columns, with what is happening; no bar where nothing is under way."""
    bar = ""
    if fraction is not None:
        percent = round(100 * min(max(fraction, 0.0), 1.0))
        bar = f'<progress max="100" value="{percent}" aria-label="Progress">{percent}%</progress>'
    return f'<div class="ql-progress" role="status">{bar}<span>{escape(text)}</span></div>'


def head(
    index: int,
    plan: str,
    state: str,
    text: str = "",
    result: Result | None = None,
    predicted: float | None = None,
    warnings: Sequence[str] = (),
) -> str:
    """Name and state of a column and, where its image would be, what to expect or why it failed.

    ``warnings`` are what to know before the plan runs.
    """
    sign, word = STATES[state]
    word = text or word
    note = "reference" if index == 0 else ""
    lines = [
        '<div class="ql-column-head">'
        f'<span class="ql-letter" aria-hidden="true">{LETTERS[index]}</span>'
        f'<h2>{escape(plan)}</h2><span class="ql-note">{note}</span></div>',
        f'<p class="ql-state is-{state}"><span aria-hidden="true">{sign}</span> {escape(word)}</p>',
    ]
    error = result.outcome.error if result else None
    if error is not None:
        lines.append(
            f'<div class="ql-failure is-{state}"><p><b>{_stage(error.stage)}</b></p>'
            f"<p>{escape(error.message)}</p></div>"
        )
    elif result is None:
        weights = f"{size(predicted)} of weights, predicted" if predicted else ""
        lines.append(f'<div class="ql-blank is-{state}"><span>{weights}</span></div>')
        lines += [f'<p class="ql-warning">⚠ {escape(text)}</p>' for text in warnings]
    return "".join(lines)


def _stage(stage: str) -> str:
    words = {
        "check": "Refused before loading",
        "load": "Failed while loading",
        "verify": "Loaded, but does not hold what was asked for",
        "encode": "Failed while encoding the prompt",
        "run": "Failed while making the image",
        "process": "Its process ended",
        "stopped": "Stopped",
    }
    return words.get(stage, f"Failed at {escape(stage)}")


def origin(
    device: Mapping[str, Any],
    versions: Mapping[str, Any],
    moment: str,
    imported_at: str | None = None,
    *,
    shipped: bool = False,
) -> str:
    """Where and when a stored result was measured: ``2026-11-21 08:21 UTC on X, torch 2.13.0``,
    and that it came from another machine, or with quantlab, where it did."""
    parts = [f"{when(moment)} on {device.get('name') or device.get('kind') or 'a machine'}"]
    parts += [f"{name} {versions[name]}" for name in ("torch", "diffusers") if name in versions]
    if imported_at is not None:
        parts.append(f"imported from another machine on {imported_at[:10]}")
    if shipped:
        parts.append("recorded for quantlab’s gallery")
    return ", ".join(parts)


def figures(result: Result, reference: Result | None, *, first: bool) -> str:
    """Memory, latency and fidelity of one result, with bars against the reference."""
    outcome = result.outcome
    notes = "".join(f'<p class="ql-warning">⚠ {escape(text)}</p>' for text in outcome.notes)
    if outcome.status != "ok":
        return notes
    base = reference.outcome if reference and not first else None
    weights, latency = (_shared(key, outcome, base) for key in ("weights_bytes", "latency_s"))
    main = [
        _row("Weights", _figure(size(outcome.cost("weights_bytes"))), weights),
        _row("Latency", _figure(seconds(outcome.cost("latency_s"))), latency),
        _row("Peak", _figure(size(outcome.peak_bytes)), _small(_peak(outcome))),
        _row("Fidelity", *_fidelity(outcome, reference, first=first)),
    ]
    found = f"Measured {result.origin}." if result.origin else "Measured here, just now."
    return (
        f'{notes}<dl class="ql-figures">{"".join(main)}</dl>'
        f"<details><summary>All figures</summary>{_details(outcome)}</details>"
        f'<p class="ql-origin">{escape(found)}</p>'
    )


def _peak(outcome: Outcome) -> str:
    return PEAK_KINDS.get(outcome.peak_kind or "", outcome.peak_kind or "")


def _row(name: str, *lines: str) -> str:
    return f"<div><dt>{name}</dt><dd>{''.join(lines)}</dd></div>"


def _figure(text: str) -> str:
    return f"<b>{escape(text)}</b>"


def _small(text: str) -> str:
    return f'<span class="ql-share">{escape(text)}</span>' if text else ""


def _shared(key: str, outcome: Outcome, base: Outcome | None) -> str:
    return _bar(outcome.cost(key), base.cost(key) if base else None)


def _bar(value: float | None, base: float | None) -> str:
    """A bar that is a number's share of the reference; nothing where there is no reference."""
    if value is None or not base:
        return ""
    share = value / base
    kind, words = ("is-more", f"{share:.1f}× A") if share > 1.05 else ("", f"{share:.0%} of A")
    return (
        f'<span class="ql-bar {kind}" aria-hidden="true"><i style="width:{min(share, 1):.1%}"></i>'
        f"</span>{_small(words)}"
    )


def _fidelity(outcome: Outcome, reference: Result | None, *, first: bool) -> tuple[str, ...]:
    if first:
        return (_figure("reference"), _small("the others are held against it"))
    if reference is None:
        return (_figure("-"), _small("the reference has no image"))
    main = SCORES[0].key
    lines = []
    if outcome.psnr_db is None:
        lines.append(_judged(_figure("same pixels"), badge(main, None)))
    for key, text in in_words(outcome.scores).items():
        figure = _figure(text) if key == main else _small(text)
        lines.append(_judged(figure, badge(key, outcome.scores[key])))
    modes = modes_text(outcome.plan, across=outcome.across_modes)
    return (*lines, _small(modes), _small(floor_text(outcome)))


def _judged(figure: str, word: str) -> str:
    return f'<span class="ql-judged">{figure}{word}</span>'


def _details(outcome: Outcome) -> str:
    rows = [
        (f"weights, {COMPONENTS.get(name, name)}", size(count))
        for name, count in outcome.weights_bytes.items()
    ]
    parts = [row for row in COSTS if row.unit == "s" and row.key != "latency_s"]
    rows += [(row.label, seconds(outcome.cost(row.key))) for row in parts]
    known = [row for row in SCORES if row.key in outcome.scores]
    rows += [
        (row.label, f"{outcome.scores[row.key]:{row.fine}} {row.unit}".strip()) for row in known
    ]
    rows += [("way", outcome.way or "-"), *how_it_ran(outcome)]
    body = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows)
    return f'<table class="ql-details">{body}</table>'
