"""What the Pick tab shows, as HTML: the answer in words, the table, the claims behind one row.

Pure functions of recommendations and the catalogue; every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from quantlab.catalog.pick import Recommendation
from quantlab.catalog.schema import Cell, Method, Scheme, Verdict
from quantlab.catalog.table import Catalog
from quantlab.ui.words import (
    COLUMN_HEADS,
    COLUMN_LABELS,
    HARDWARE_LABELS,
    MARKS,
    NEED_LABELS,
    VERDICT_LABELS,
    size,
)

__all__ = ["Query", "answer", "claims", "picks", "problem", "table"]

Row = Recommendation
CLASSES = (("8 bit", 6.5, 9.0), ("4 bit", 3.5, 5.0), ("2 to 3 bit", 0.0, 3.5))
"""Bit classes of the answer: name, lowest, and the bits that are too many."""


REST: dict[Verdict, str] = {"partial": "partly", "unknown": "unknown", "no": "not"}


@dataclass(frozen=True)
class Query:
    """What the visitor asked for. None and "" mean: whatever."""

    hardware: str = "cpu"
    bits: float | None = None
    needs: tuple[str, ...] = ()
    library: str | None = None
    model: str | None = None
    memory_gib: float | None = None


def picks(rows: Sequence[Row], catalog: Catalog) -> list[tuple[str, Row]]:
    """The first row that runs in each bit class, those that run on this machine before others."""
    running = [r for r in rows if r.verdict.startswith("runs") and r.scheme in catalog.schemes]
    running.sort(key=lambda row: row.here != "ok")  # stable: keeps the catalogue's order
    found = []
    for name, low, high in CLASSES:
        fits = (r for r in running if low <= catalog.schemes[r.scheme or ""].bits < high)
        if row := next(fits, None):
            found.append((name, row))
    return found


def answer(rows: Sequence[Row], query: Query, catalog: Catalog) -> str:
    """The answer in words: how many schemes run, and the one to begin with in each bit class."""
    count = dict.fromkeys(VERDICT_LABELS, 0)
    for row in rows:
        count[row.verdict] += 1
    running = count["runs"] + count["runs-with-offload"]
    rest = [f"{count[verdict]} {words}" for verdict, words in REST.items() if count[verdict]]
    asked = _asked(query, catalog)
    lead = f"{escape(asked)}: <b>{_counted(running)}</b>"
    tail = f"; {', '.join(rest)}." if rest else "."
    if not running:
        return (
            f'<p class="ql-lead">{lead}{tail}</p><p class="ql-hint">'
            "Ask for less above, or read in the table what rules each one out.</p>"
        )
    best = picks(rows, catalog)
    items = "".join(_pick(name, row) for name, row in best)
    again = (
        '<button type="button" class="ql-button" data-try-all>Try these side by side</button>'
        if best
        else ""
    )
    return (
        f'<p class="ql-lead">{lead}{tail}</p><ul class="ql-picks">{items}</ul>'
        f'<p class="ql-hint">{again}<span>Fewer bits take less memory and move the image further '
        "from the original.</span></p>"
    )


def _asked(query: Query, catalog: Catalog) -> str:
    hardware = HARDWARE_LABELS.get(query.hardware, query.hardware)
    where = f"On {'an' if hardware[0] in 'AI' else 'a'} {hardware}"
    if query.hardware == "cpu":
        where = "On a CPU"
    if query.memory_gib:
        where += f" with {query.memory_gib:g} GiB"
    model = catalog.models.get(query.model or "")
    parts = [where, *([model.name] if model else [])]
    if query.bits:
        parts.append(f"{query.bits:g} bit")
    parts += [NEED_LABELS[need] for need in query.needs if need in NEED_LABELS]
    return ", ".join(parts)


def _counted(running: int) -> str:
    if running == 0:
        return "nothing in the catalogue is known to run"
    return "1 scheme runs" if running == 1 else f"{running} schemes run"


def _pick(name: str, row: Row) -> str:
    scheme = escape(row.scheme or "")
    weight = f"{size(row.bytes)} of weights, predicted" if row.bytes else ""
    away = "" if row.here == "ok" else ' <span class="ql-away">not on this machine</span>'
    return (
        f'<li><span class="ql-class">{name}</span>'
        f'<button type="button" class="ql-name" data-claims="{scheme}">{scheme}</button>'
        f'<span class="ql-weight">{weight}</span>{away}</li>'
    )


def table(rows: Iterable[Row], catalog: Catalog) -> str:
    """The whole table, rejected rows too."""
    heads = [
        _head("Scheme", "text"),
        _head("Verdict", "number"),
        _head("Weights", "number", "Predicted weights of the whole pipeline with this scheme"),
        _head("Bits", "number", "Bits a weight, as the library stores it"),
        *(_head(head, "number", COLUMN_LABELS[key]) for key, head in COLUMN_HEADS.items()),
    ]
    body = "".join(_row(row, catalog) for row in rows)
    return (
        '<table class="ql-table" role="table"><caption class="ql-sr">Methods and schemes with '
        "their verdict; a row's name opens the sources of its claims.</caption>"
        f'<thead role="rowgroup"><tr role="row">{"".join(heads)}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def _head(name: str, kind: str, title: str = "") -> str:
    note = f' title="{escape(title)}"' if title else ""
    return (
        f'<th scope="col" role="columnheader" aria-sort="none">'
        f'<button type="button" data-sort="{kind}"{note}>{name}</button></th>'
    )


def _row(row: Row, catalog: Catalog) -> str:
    method = catalog.methods[row.method]
    scheme = catalog.schemes.get(row.scheme or "")
    key = escape(scheme.id if scheme else method.id)
    bits = f"{scheme.bits:g}" if scheme else ",<wbr>".join(str(span) for span in method.bits)
    order = scheme.bits if scheme else method.bits[0].low
    cells = "".join(_mark(column, method.cell(column, scheme)) for column in COLUMN_HEADS)
    found = escape(" ".join((key, method.name, row.verdict, *row.reasons)).lower())
    return (
        f'<tr role="row" data-key="{key}" data-find="{found}">'
        f'<th scope="row" role="rowheader" data-v="{key}">'
        f'<button type="button" class="ql-name" data-claims="{key}">{key}</button>'
        f'<span class="ql-method">{escape(method.name)}</span></th>'
        f"{_verdict(row, scheme)}"
        f'<td role="cell" class="ql-number" data-label="weights" '
        f'data-v="{row.bytes or ""}">{size(row.bytes)}</td>'
        f'<td role="cell" class="ql-number" data-label="bits" data-v="{order}">'
        f"{bits}</td>"
        f"{cells}</tr>"
    )


def _verdict(row: Row, scheme: Scheme | None) -> str:
    sign, word = VERDICT_LABELS[row.verdict]
    # What speaks against it comes first: a yes is to be seen in the marks anyway.
    reasons = sorted(row.reasons, key=lambda reason: ": yes" in reason)
    items = [
        f'<li class="{"is-plain" if ": yes" in reason else "is-telling"}">{escape(reason)}</li>'
        for reason in reasons
    ]
    if row.here != "ok":
        items.append(f"<li>On this machine: {escape(row.here)}</li>")
    why = "".join(items)
    go = ""
    if scheme is not None and scheme.way != "none":
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


def _mark(column: str, cell: Cell) -> str:
    sign, word = MARKS[cell.value]
    label = escape(f"{COLUMN_LABELS[column]}: {word}")
    order = ("yes", "partial", "unknown", "no").index(cell.value)
    return (
        f'<td role="cell" class="ql-mark-cell" data-v="{order}" '
        f'data-label="{COLUMN_HEADS[column].replace("&shy;", "")}">'
        f'<button type="button" tabindex="-1" class="ql-mark is-{cell.value}" '
        f'data-column="{column}" title="{label}" aria-label="{label}">{sign}</button></td>'
    )


def claims(key: str, column: str, catalog: Catalog) -> str:
    """Everything the catalogue claims of a scheme or method, each with source and date.

    ``column`` is the claim that was asked about; it is marked. An unknown key gives a sentence
    that says so, since it comes from the browser.
    """
    scheme = catalog.schemes.get(key)
    method = catalog.methods.get(scheme.method if scheme else key)
    if method is None:
        return '<p class="ql-hint">The catalogue has nothing of that name.</p>'
    about = escape(scheme.note) if scheme and scheme.note else escape(method.summary)
    bits = f"{scheme.bits:g} bits a weight. " if scheme else ""
    columns = [c for c in COLUMN_LABELS if c in _known(method, scheme) or c in COLUMN_HEADS]
    items = "".join(
        _claim(name, method.cell(name, scheme), asked=name == column) for name in columns
    )
    return (
        f'<h2 class="ql-claims-title">{escape(key)}</h2>'
        f'<p class="ql-hint">{escape(method.name)}. {bits}{about}</p>'
        f'<dl class="ql-claims">{items}</dl>'
        f'<p><a href="{escape(method.library)}" target="_blank" rel="noopener noreferrer">'
        "The library</a></p>"
    )


def _known(method: Method, scheme: Scheme | None) -> Mapping[str, Cell]:
    return {**method.cells, **(scheme.capabilities if scheme else {})}


def _claim(column: str, cell: Cell, *, asked: bool) -> str:
    sign, word = MARKS[cell.value]
    note = f"<p>{escape(cell.note)}</p>" if cell.note else ""
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
        f"<div{current}><dt>{COLUMN_LABELS[column]}</dt>"
        f'<dd><span class="ql-mark is-{cell.value}" aria-hidden="true">{sign}</span> {word}{note}'
        f'<p class="ql-source">{source}</p></dd></div>'
    )


def problem(message: str) -> str:
    """One sentence where the answer would be."""
    return f'<p class="ql-banner is-problem" role="alert">{escape(message)}</p>'
