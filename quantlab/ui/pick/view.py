"""The table of the Pick tab as HTML, and the claims behind one of its rows.

Pure functions of recommendations and the catalogue; every text is escaped here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape

from quantlab.catalog.answer.loss import METRIC
from quantlab.catalog.answer.pick import Recommendation
from quantlab.catalog.answer.seconds import Timer
from quantlab.catalog.bands import load_bands
from quantlab.catalog.columns import COLUMNS, Column
from quantlab.catalog.machine import in_words
from quantlab.catalog.schema import Cell, Method, Model, Scheme, Support
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import NOTHING, Known, Reason, Seconds
from quantlab.ui.pick.answer_view import Query
from quantlab.ui.pick.code_names import code_names
from quantlab.ui.words import (
    MARKS,
    PLACEMENT_LABELS,
    VERDICT_LABELS,
)
from quantlab.words.choice import Span
from quantlab.words.comparison import SHIPPED
from quantlab.words.metrics import metric
from quantlab.words.plan import Plan
from quantlab.words.units import GIB, seconds, size

__all__ = ["claims", "table"]

Row = Recommendation
TABLED = tuple(row for row in COLUMNS if row.tabled)


def table(rows: Iterable[Row], query: Query, catalog: Catalog, known: Known = NOTHING) -> str:
    """The whole table, rejected rows too: the visitor's hardware, memory, time and loss in front,
    what else is known behind *All columns*; above it what the rows are of, and why some have no
    time. ``known`` is what was measured on the device."""
    own = [row for row in TABLED if row.id == query.hardware]
    rest = [row for row in TABLED if row.id != query.hardware]
    heads = [
        _head("Scheme", "text"),
        _head("Verdict", "number"),
        *(_head(row.over, "number", row.told) for row in own),
        _head("Memory", "number", "Predicted peak on the device; without one, weights"),
        _head("An image", "number", "Seconds of one image, with it on the denoiser"),
        _head("Picture", "number", f"How far it moves the picture, measured on {SHIPPED}"),
        _head("Weights", "number", "Predicted weights of the whole pipeline", more=True),
        _head("Bits", "number", "Bits a weight, as the library stores it", more=True),
        *(_head(row.over, "number", row.told, more=True) for row in rest),
        _head("Licence", "text", "The library's licence", more=True),
    ]
    timer = _timer(query, catalog, known)
    timed = [(row, _time(row, timer)) for row in rows]
    body = "".join(_row(row, (own, rest), time, catalog) for row, time in timed)
    model = catalog.models.get(query.model or "")
    return (
        f"{_note(model, [time for _, time in timed])}"
        '<table class="ql-table" role="table"><caption class="ql-sr">Methods and schemes with '
        "their verdict; a row's name opens the sources of its claims.</caption>"
        f'<thead role="rowgroup"><tr role="row">{"".join(heads)}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def _note(model: Model | None, times: Sequence[Seconds | Reason | None]) -> str:
    """What the rows are of: the answer's plans leave parts out or quantize several, these do not.
    And why there is no time, where that holds for most that might run."""
    if model is None:
        return ""
    one = model.family.label(model.denoiser)
    rest = f"the rest of {model.name} in {model.base_dtype}, nothing left out"
    text = f"Each scheme on the {one} alone; {rest}."
    why = Counter(time for time in times if isinstance(time, Reason)).most_common(1)
    if why and 2 * why[0][1] > sum(time is not None for time in times):
        text += f" No time of an image for {why[0][1]} of them. {why[0][0].text}"
    return f'<p class="ql-table-note">{escape(text)}</p>'


def _head(name: str, kind: str, title: str = "", *, more: bool = False) -> str:
    note = f' title="{escape(title)}"' if title else ""
    hidden = ' class="is-more"' if more else ""
    return (
        f'<th scope="col" role="columnheader" aria-sort="none"{hidden}>'
        f'<button type="button" data-sort="{kind}"{note}>{name}</button></th>'
    )


def _row(
    row: Row,
    columns: tuple[list[Column], list[Column]],
    time: Seconds | Reason | None,
    catalog: Catalog,
) -> str:
    method = catalog.methods[row.method]
    scheme = catalog.schemes.get(row.scheme or "")
    key = escape(scheme.id if scheme else method.id)
    bits = f"{scheme.bits:g}" if scheme else ",<wbr>".join(str(span) for span in method.bits)
    order = scheme.bits if scheme else method.bits[0].low
    own, rest = (
        "".join(_mark(column, method.cell(column.id, scheme).value, more) for column in part)
        for part, more in zip(columns, (False, True), strict=True)
    )
    said = (key, method.name, row.verdict, *row.reasons, code_names(scheme))
    found = escape(" ".join(said).lower())
    return (
        f'<tr role="row" data-key="{key}" data-find="{found}">'
        f'<th scope="row" role="rowheader" data-v="{key}">'
        f'<button type="button" class="ql-name" data-claims="{key}">{key}</button>'
        f'<span class="ql-method">{escape(method.name)}</span></th>'
        f"{_verdict(row, scheme)}{own}{_costs(row, time)}"
        f"{_number('weights', row.bytes, size(row.bytes), more=True)}"
        f"{_number('bits', order, bits, more=True)}{rest}"
        f'<td role="cell" class="ql-licence is-more" data-label="licence" '
        f'data-v="{escape(method.licence)}">{escape(method.licence)}</td></tr>'
    )


def _costs(row: Row, time: Seconds | Reason | None) -> str:
    """Memory, seconds and closeness of a row: what the answer goes by."""
    peak = row.placement.peak_bytes if row.placement else row.bytes
    return (
        _number("memory", peak, size(peak))
        + _number("an image", time.mid if isinstance(time, Seconds) else None, _about(time))
        + _number("picture", row.loss, _closeness(row.loss))
    )


def _timer(query: Query, catalog: Catalog, known: Known) -> Timer | None:
    """Of images of the model's own size, where a model and a card are asked about."""
    model, card = catalog.models.get(query.model or ""), query.card
    if model is None or card is None:
        return None
    ram = round(query.ram_gib * GIB) if query.ram_gib else None
    return Timer(model, card, picture_of(model), catalog, ram_bytes=ram, known=known)


def _time(row: Row, timer: Timer | None) -> Seconds | Reason | None:
    """With the scheme on the denoiser alone."""
    if timer is None or row.scheme is None or row.placement is None:
        return None
    plan = Plan(((timer.model.denoiser, row.scheme),))
    return timer.seconds(plan, row.placement.kind)


def _about(time: Seconds | Reason | None) -> str:
    """``12 s`` with its interval behind it, or why there is none."""
    if time is None:
        return "-"
    if isinstance(time, Reason):
        return f'<span title="{escape(time.text)}">-</span>'
    span = Span(time.low, time.mid, time.high)
    return f'<span title="{span}, {time.evidence}">{seconds(time.mid)}</span>'


def _closeness(loss: float | None) -> str:
    """Dots and word, and the figure behind them."""
    if loss is None:
        return "-"
    bands = load_bands()
    band = bands.of(metric(METRIC), loss)
    dots = "●" * band.level + "○" * (len(bands.bands) - 1 - band.level)
    return (
        f'<span class="ql-state is-band-{band.level}" title="{loss:.1%} off in one step">'
        f'<span class="ql-dots" aria-hidden="true">{dots}</span> {escape(band.word)}</span>'
    )


def _number(label: str, value: float | None, text: str, *, more: bool = False) -> str:
    """A cell that sorts by ``value``; what is not known stands last."""
    hidden = " is-more" if more else ""
    order = "" if value is None else f"{value:.6g}"
    return (
        f'<td role="cell" class="ql-number{hidden}" data-label="{label}" data-v="{order}">'
        f"{text}</td>"
    )


def _verdict(row: Row, scheme: Scheme | None) -> str:
    sign, word = VERDICT_LABELS[row.verdict]
    if row.verdict == "runs-with-offload" and row.placement is not None:
        word = PLACEMENT_LABELS[row.placement.kind]
    # What speaks against it comes first: a yes is to be seen in the marks anyway.
    reasons = sorted(row.reasons, key=lambda reason: ": yes" in reason)
    items = [
        f'<li class="{"is-plain" if ": yes" in reason else "is-telling"}">{escape(reason)}</li>'
        for reason in reasons
    ]
    if row.here != "ok":
        items.append(f"<li>On this machine: {escape(in_words(row.here))}</li>")
    why = "".join(items)
    go = ""
    if scheme is not None and scheme.loadable:
        go = (
            f'<button type="button" class="ql-button" data-try="{escape(scheme.id)}" '
            f'aria-label="Try {escape(scheme.id)}">Try</button>'
        )
    order = list(VERDICT_LABELS).index(row.verdict)
    return (
        f'<td role="cell" class="ql-verdict" data-v="{order}"><div class="ql-verdict-line">'
        f'<span class="ql-pill is-{row.verdict}"><span aria-hidden="true">{sign}</span> {word}'
        f'</span><span class="ql-evidence">{row.evidence}</span>{go}</div>'
        f'<ul class="ql-why">{why}</ul></td>'
    )


@lru_cache(maxsize=1024)
def _mark(column: Column, value: Support, more: bool) -> str:
    """A cell of a column: of the thousand in the table a few dozen differ."""
    sign, word = MARKS[value]
    label = escape(f"{column.told}: {word}")
    order = ("yes", "partial", "unknown", "no").index(value)
    return (
        f'<td role="cell" class="ql-mark-cell{" is-more" if more else ""}" data-v="{order}" '
        f'data-label="{column.over.replace("&shy;", "")}">'
        f'<button type="button" tabindex="-1" class="ql-mark is-{value}" '
        f'data-column="{column.id}" title="{label}" aria-label="{label}">{sign}</button></td>'
    )


def claims(key: str, column: str, catalog: Catalog, code: str = "") -> str:
    """Everything the catalogue claims of a scheme or method, each with source and date.

    ``column`` is the claim that was asked about; it is marked. ``code``, HTML, stands before the
    claims. An unknown key gives a sentence that says so, since it comes from the browser.
    """
    scheme = catalog.schemes.get(key)
    method = catalog.methods.get(scheme.method if scheme else key)
    if method is None:
        return '<p class="ql-hint">The catalogue has nothing of that name.</p>'
    about = escape(scheme.note) if scheme and scheme.note else escape(method.summary)
    bits = f"{scheme.bits:g} bits a weight. " if scheme else ""
    rows = [row for row in COLUMNS if row.id in _known(method, scheme) or row.tabled]
    items = "".join(
        _claim(row, method.cell(row.id, scheme), asked=row.id == column) for row in rows
    )
    return (
        f'<h2 class="ql-claims-title">{escape(key)}</h2>'
        f'<p class="ql-hint">{escape(method.name)}. {bits}{about}</p>{code}'
        f'<dl class="ql-claims">{items}{_licence(method)}</dl>'
        f'<p><a href="{escape(method.library)}" target="_blank" rel="noopener noreferrer">'
        "The library</a></p>"
    )


def _licence(method: Method) -> str:
    """The library's licence, with its source, and what a strict one means here."""
    source = method.sources[method.licence_source]
    note = "<p>not part of quantlab; installed apart</p>" if method.copyleft else ""
    return (
        f"<div><dt>Licence</dt><dd>{escape(method.licence)}{note}"
        f'<p class="ql-source"><a href="{escape(source.url)}" target="_blank" '
        f'rel="noopener noreferrer">{escape(source.title)}</a>, checked {escape(source.checked)}'
        "</p></dd></div>"
    )


def _known(method: Method, scheme: Scheme | None) -> Mapping[str, Cell]:
    return {**method.cells, **(scheme.capabilities if scheme else {})}


def _claim(column: Column, cell: Cell, *, asked: bool) -> str:
    sign, word = MARKS[cell.value]
    note = f"<p>{escape(cell.note)}</p>" if cell.note else ""
    if cell.in_2024 is not None:
        note += f"<p>In 2024: {MARKS[cell.in_2024][1]}. Since: {escape(cell.changed)}.</p>"
    source = "no source"
    if cell.source:
        source = f"{escape(cell.source)}, checked {escape(cell.checked)}"
    if cell.url.startswith("https://"):
        source = (
            f'<a href="{escape(cell.url)}" target="_blank" rel="noopener noreferrer">'
            f"{escape(cell.source)}</a>, checked {escape(cell.checked)}"
        )
    current = ' class="is-asked" id="ql-asked"' if asked else ""
    return (
        f"<div{current}><dt>{column.told}</dt>"
        f'<dd><span class="ql-mark is-{cell.value}" aria-hidden="true">{sign}</span> {word}{note}'
        f'<p class="ql-source">{source}</p></dd></div>'
    )
