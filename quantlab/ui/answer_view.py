"""The answer of the Pick tab in words: how many schemes run, and the ones to begin with.

Pure functions of recommendations and the catalogue; every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from quantlab.catalog.footprint import predict
from quantlab.catalog.memory import CONTEXT_BYTES
from quantlab.catalog.pick import Recommendation
from quantlab.catalog.schema import Verdict
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.lab.plan import parse_plan
from quantlab.ui.plans import encoder_of
from quantlab.ui.words import GIB, HARDWARE_LABELS, NEED_LABELS, VERDICT_LABELS, size

__all__ = ["Query", "answer", "picks", "problem"]

Row = Recommendation

CLASSES = (("8 bit", 6.5, 9.0), ("4 bit", 3.5, 5.0), ("2 to 3 bit", 0.0, 3.5))
"""Bit classes of the answer: name, lowest, and the bits that are too many."""


ENCODER_SCHEMES = ("torchao-int8wo", "bnb-nf4")
"""What the text encoder is tried with where the pipeline does not fit: the gentler one first."""

REST: dict[Verdict, str] = {"partial": "partly", "unknown": "unknown", "no": "not"}


ARTICLES = {"cpu": "a", "cuda": "an", "rocm": "an", "metal": "", "intel": "an"}


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
    """The first row that runs in each bit class; of equal verdicts those that run here first."""
    running = [r for r in rows if r.verdict.startswith("runs") and r.scheme in catalog.schemes]
    running.sort(key=lambda row: (row.verdict != "runs", row.here != "ok"))  # stable
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
    lead = f"{escape(asked)}: <b>{_counted(count['runs'], count['runs-with-offload'])}</b>"
    tail = f"; {', '.join(rest)}." if rest else "."
    if not running:
        return (
            f'<p class="ql-lead">{lead}{tail}</p><p class="ql-hint">'
            "Ask for less above, or read in the table what rules each one out.</p>"
        )
    best = picks(rows, catalog)
    items = "".join(_pick(name, row, query, catalog) for name, row in best)
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
    where = f"On {ARTICLES[query.hardware]} {HARDWARE_LABELS[query.hardware]}".replace("  ", " ")
    if query.memory_gib:
        where += f" with {query.memory_gib:g} GiB"
    model = catalog.models.get(query.model or "")
    parts = [where, *([model.name] if model else [])]
    if query.bits:
        parts.append(f"{query.bits:g} bit")
    parts += [NEED_LABELS[need] for need in query.needs if need in NEED_LABELS]
    return ", ".join(parts)


def _counted(running: int, offloaded: int) -> str:
    if not running + offloaded:
        return "nothing in the catalogue is known to run"
    if not offloaded:
        return "1 scheme runs" if running == 1 else f"{running} schemes run"
    if not running:
        return f"{offloaded} scheme{'s'[: offloaded > 1]} run{'s'[: offloaded == 1]} with offload"
    return f"{_counted(running, 0)}, {offloaded} more with offload"


def _pick(name: str, row: Row, query: Query, catalog: Catalog) -> str:
    scheme = escape(row.scheme or "")
    notes = [f"{size(row.bytes)} of weights, predicted"] if row.bytes else []
    if row.verdict == "runs-with-offload":
        notes.append(_without_offload(row, query, catalog) or "only with offload")
    if row.here != "ok":
        notes.append("not on this machine")
    return (
        f'<li><span class="ql-class">{name}</span>'
        f'<button type="button" class="ql-name" data-claims="{scheme}">{scheme}</button>'
        + "".join(f'<span class="ql-weight">{escape(note)}</span>' for note in notes)
        + "</li>"
    )


def _without_offload(row: Row, query: Query, catalog: Catalog) -> str | None:
    """Which scheme for the text encoder lets the whole pipeline stay in memory, if one does."""
    model = catalog.models.get(query.model or "")
    if model is None or query.memory_gib is None or query.library == "transformers":
        return None
    free = query.memory_gib * GIB - (CONTEXT_BYTES if query.hardware == "cuda" else 0)
    encoder = encoder_of(model).name
    for scheme in ENCODER_SCHEMES:
        try:
            plan = parse_plan(f"transformer={row.scheme},{encoder}={scheme}", model, catalog)
            peak = predict(model.id, plan, catalog=catalog).peak_bytes
        except InputError:
            continue
        if peak <= free:
            return (
                f"with offload; without it, {peak / GIB:.1f} of {query.memory_gib:g} GiB "
                f"at the peak, with {scheme} for the text encoder"
            )
    return None


def problem(message: str) -> str:
    """One sentence where the answer would be."""
    return f'<p class="ql-banner is-problem" role="alert">{escape(message)}</p>'
