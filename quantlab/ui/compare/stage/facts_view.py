"""What is known of each plan of a comparison as HTML: a row a plan, and all figures behind it.

Pure functions; every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from quantlab.ui.bands_view import badge
from quantlab.ui.compare.stage.measured_view import how_it_ran
from quantlab.ui.compare.stage.strip_view import Seat
from quantlab.ui.compare.stage.view import STATES
from quantlab.ui.words import LETTERS, PEAK_KINDS
from quantlab.words.metrics import COSTS, SCORES, in_words
from quantlab.words.outcome import Outcome
from quantlab.words.outcome_text import busy_text, floor_text, modes_text
from quantlab.words.units import seconds, size

__all__ = ["facts"]

HEADS = ("Plan", "Weights", "Peak", "An image", "Closeness")
STAGES = {
    "check": "Refused before loading",
    "load": "Failed while loading",
    "verify": "Loaded, but does not hold what was asked for",
    "encode": "Failed while encoding the prompt",
    "run": "Failed while making the image",
    "process": "Its process ended",
    "stopped": "Stopped",
}


def facts(
    seats: Sequence[Seat],
    reference: Outcome | None,
    *,
    labels: Mapping[str, str],
    predicted: Mapping[str, int | None],
    instead: Mapping[str, str | None],
    warnings: Mapping[str, Sequence[str]],
) -> str:
    """The table. ``labels`` are what the model's components are called; of each plan by its text
    ``predicted`` has bytes of weights, ``instead`` the plan to offer, ``warnings`` what to know
    before it runs."""
    heads = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in HEADS)
    rows = "".join(
        _row(
            index,
            seat,
            reference if index else None,
            labels,
            predicted.get(seat.plan),
            instead.get(seat.plan),
            warnings.get(seat.plan, ()),
        )
        for index, seat in enumerate(seats)
    )
    save = ""
    if any(seat.result for seat in seats):
        save = (
            '<p class="ql-facts-save"><button type="button" class="ql-button" '
            'data-save-table="comparison" data-of=".ql-facts-table">Download as CSV</button></p>'
        )
    return (
        '<div data-saved><table class="ql-facts-table" role="table"><caption class="ql-sr">What '
        'each plan takes and how near it comes</caption><thead role="rowgroup"><tr role="row">'
        f'{heads}<th scope="col" role="columnheader"><span class="ql-sr">Code</span></th></tr>'
        f'</thead><tbody role="rowgroup">{rows}</tbody></table>{save}</div>'
        f"{_origins(seats)}{_send(seats)}"
    )


def _send(seats: Sequence[Seat]) -> str:
    """The button for the rows that were worse than predicted, where there are any."""
    count = sum(bool(seat.result and seat.result.worse) for seat in seats)
    if not count:
        return ""
    rows = "the measured row" if count == 1 else f"the {count} measured rows"
    return (
        '<p class="ql-origin"><button type="button" class="ql-button" data-worse>'
        f"Save {rows} as a file to send</button> Worse than predicted: figures, settings, the "
        "machine’s card and versions, no picture.</p>"
    )


def _origins(seats: Sequence[Seat]) -> str:
    """Where and when the figures were measured, those of one moment together."""
    found: dict[str, list[str]] = {}
    for index, seat in enumerate(seats):
        if seat.result is not None and seat.result.outcome.status == "ok":
            told = seat.result.origin or "here, just now"
            found.setdefault(told, []).append(LETTERS[index])
    lines = (f"{', '.join(letters)}: measured {told}." for told, letters in found.items())
    return "".join(f'<p class="ql-origin">{escape(line)}</p>' for line in lines)


def _row(
    index: int,
    seat: Seat,
    reference: Outcome | None,
    labels: Mapping[str, str],
    predicted: int | None,
    instead: str | None,
    warnings: Sequence[str],
) -> str:
    outcome = seat.outcome
    if outcome is None:
        cells = _ahead(seat, predicted, warnings)
    elif outcome.error is not None:
        cells = _failed(index, seat.state, outcome, instead)
    else:
        cells = _measured(index, outcome, reference)
    more = _more(outcome, labels) if outcome is not None else ""
    worse = seat.result.worse if seat.result is not None else ()
    more += "".join(f'<p class="ql-warning">⚠ {escape(text)}</p>' for text in worse)
    return (
        f'<tr role="row" data-plan="{escape(seat.plan)}" class="is-{seat.state}">'
        f'<th scope="row" role="rowheader"><span class="ql-letter" aria-hidden="true">'
        f"{LETTERS[index]}</span> <b>{escape(seat.plan)}</b>{more}</th>{cells}"
        f'<td role="cell" class="ql-code-cell"><button type="button" class="ql-button" '
        f'data-code="{index}" aria-label="Code of {escape(seat.plan)}">Code</button></td></tr>'
    )


def _ahead(seat: Seat, predicted: int | None, warnings: Sequence[str]) -> str:
    weights = f"{size(predicted)} <small>predicted</small>" if predicted else "-"
    sign, word = STATES[seat.state]
    told = "".join(f'<p class="ql-warning">⚠ {escape(text)}</p>' for text in warnings)
    return (
        f"{_cell('Weights', weights)}"
        f'<td role="cell" colspan="3"><span class="ql-state is-{seat.state}">'
        f'<span aria-hidden="true">{sign}</span> {word}</span>{told}</td>'
    )


def _failed(index: int, state: str, outcome: Outcome, instead: str | None) -> str:
    error = outcome.error
    assert error is not None
    if error.stage == "stopped":
        said = f'<p class="ql-state is-{state}"><span aria-hidden="true">■</span> stopped</p>'
    else:
        stage = STAGES.get(error.stage, f"Failed at {error.stage}")
        said = f"<p><b>{escape(stage)}</b></p><p>{escape(error.message)}</p>"
    offer = ""
    if instead:
        offer = (
            f'<button type="button" class="ql-button" data-instead="{index}">Use '
            f"{escape(instead)} instead</button>"
        )
    return (
        f'<td role="cell" colspan="4"><div class="ql-failure is-{state}">{said}{offer}</div></td>'
    )


def _measured(index: int, outcome: Outcome, reference: Outcome | None) -> str:
    weights, latency = (_against(key, outcome, reference) for key in ("weights_bytes", "latency_s"))
    busy = busy_text(outcome)
    slow = f'<small class="is-partial">⚠ {escape(busy)}</small>' if busy else ""
    peak = PEAK_KINDS.get(outcome.peak_kind or "", outcome.peak_kind or "")
    return (
        _cell("Weights", f"<b>{size(outcome.cost('weights_bytes'))}</b>{weights}")
        + _cell("Peak", f"<b>{size(outcome.peak_bytes)}</b><small>{escape(peak)}</small>")
        + _cell("An image", f"<b>{seconds(outcome.cost('latency_s'))}</b>{latency}{slow}")
        + _cell("Closeness", _closeness(index, outcome, reference))
    )


def _cell(name: str, text: str) -> str:
    return f'<td role="cell" class="ql-number" data-label="{name}">{text}</td>'


def _against(key: str, outcome: Outcome, reference: Outcome | None) -> str:
    value, base = outcome.cost(key), reference.cost(key) if reference else None
    if value is None or not base:
        return ""
    share = value / base
    return f"<small>{f'{share:.1f}× A' if share > 1.05 else f'{share:.0%} of A'}</small>"


def _closeness(index: int, outcome: Outcome, reference: Outcome | None) -> str:
    if index == 0:
        return "reference<small>the others are held against it</small>"
    if reference is None:
        return "-<small>the reference has no image</small>"
    key = SCORES[0].key
    lead = "same pixels" if outcome.psnr_db is None else in_words(outcome.scores)[key]
    modes = modes_text(outcome.plan, across=outcome.across_modes)
    told = f'<span class="ql-whole-figure">{escape(lead)}</span>'
    return f"{badge(key, outcome.psnr_db)} {told}<small>{escape(modes)}</small>"


def _more(outcome: Outcome, labels: Mapping[str, str]) -> str:
    """All figures behind a plan's name, and its notes."""
    notes = "".join(f'<p class="ql-warning">⚠ {escape(text)}</p>' for text in outcome.notes)
    if outcome.status != "ok":
        return notes
    rows = [
        (f"weights, {labels.get(name, name)}", size(count))
        for name, count in outcome.weights_bytes.items()
    ]
    parts = [row for row in COSTS if row.unit == "s" and row.key != "latency_s"]
    rows += [(row.label, seconds(outcome.cost(row.key))) for row in parts]
    known = [row for row in SCORES if row.key in outcome.scores]
    rows += [
        (row.label, f"{outcome.scores[row.key]:{row.fine}} {row.unit}".strip()) for row in known
    ]
    rows += [("way", outcome.way or "-"), *how_it_ran(outcome)]
    if floor := floor_text(outcome):
        rows.append(("reference", floor))
    body = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows)
    return (
        f"{notes}<details><summary>All figures</summary>"
        f'<table class="ql-details">{body}</table></details>'
    )
