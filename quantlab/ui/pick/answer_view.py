"""The answer of the Pick tab in words: how many schemes run, and the ones to begin with.

Pure functions of recommendations and the catalogue; every text is escaped here. What is proposed
for a card is told in pick/card_view.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from quantlab.catalog.answer.choices import Answer
from quantlab.catalog.answer.pick import Recommendation
from quantlab.catalog.columns import column
from quantlab.catalog.gpus import Gpu, load_gpus, usable_bytes
from quantlab.catalog.schema import Model, Verdict
from quantlab.catalog.table import Catalog
from quantlab.ui.pick.card_view import proposed
from quantlab.ui.words import PLACEMENT_LABELS
from quantlab.words.units import GIB, size

__all__ = ["Query", "answer", "picks", "problem"]

Row = Recommendation

CLASSES = (("8 bit", 6.5, 9.0), ("4 bit", 3.5, 5.0), ("2 to 3 bit", 0.0, 3.5))
"""Bit classes of the answer: name, lowest, and the bits that are too many."""

REST: dict[Verdict, str] = {"partial": "partly", "unknown": "unknown", "no": "not"}


@dataclass(frozen=True)
class Query:
    """What the visitor asked for. None and "" mean: whatever. ``gpu`` is an id of data/gpus;
    then ``hardware`` is its kind and its memory is what counts."""

    hardware: str = "cpu"
    bits: float | None = None
    needs: tuple[str, ...] = ()
    library: str | None = None
    model: str | None = None
    memory_gb: float | None = None
    """As printed on the box of a card; of a CPU GiB."""
    ram_gib: float | None = None
    """Of the host; None: not held against anything."""
    gpu: str | None = None

    @property
    def card(self) -> Gpu | None:
        """The card that was chosen, if one was."""
        return load_gpus().get(self.gpu or "")

    @property
    def memory_gib(self) -> float | None:
        """What a device of that size reports, as the cards of that size do."""
        if self.memory_gb is None:
            return None
        return usable_bytes(self.memory_gb, self.hardware) / GIB

    @property
    def places(self) -> bool:
        """Whether a model's whole pipeline is held against a device."""
        sized = self.gpu is not None or self.memory_gb is not None
        return self.model is not None and sized and self.library != "transformers"


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


def answer(
    every: Callable[[], Sequence[Row]], query: Query, catalog: Catalog, found: Answer
) -> str:
    """The answer in words: the plans that are proposed for a card, or how many schemes run and
    the one to begin with in each bit class, of ``every`` row; where plans are proposed, nobody
    needs the rows, which take longer to judge than all else."""
    model = catalog.models.get(query.model or "")
    if model is not None and found.choices:
        return proposed(_asked(query, model), found.choices, model, found.instead)
    if found.nearest:
        nothing = f"{_asked(query, model)}: nothing fits. {found.nearest}"
        more = f'<p class="ql-banner">{escape(found.instead)}.</p>' if found.instead else ""
        return f'<p class="ql-lead">{escape(nothing)}.</p>{more}'
    rows = every()
    counts = f"{_counted(rows)}{_rest(rows)}."
    lead = f'<p class="ql-lead">{escape(_asked(query, model))}: {counts}</p>'
    best = picks(rows, catalog)
    if not best:
        return (
            f'{lead}<p class="ql-hint">Ask for less above, or read in the table what rules '
            "each one out.</p>"
        )
    items = "".join(_pick(name, row) for name, row in best)
    return (
        f'{lead}<ul class="ql-picks">{items}</ul><p class="ql-hint">'
        '<button type="button" class="ql-button" data-try-all>Try these side by side</button>'
        "<span>Fewer bits take less memory and move the image further from the original.</span></p>"
    )


def _asked(query: Query, model: Model | None) -> str:
    name = query.card.name if query.card else column(query.hardware).chosen
    where = f"On {_article(name)}{name}"
    if query.memory_gb and query.card is None:
        where += f" with {query.memory_gb:g} GB"
    if query.ram_gib:
        where += f" and {query.ram_gib:g} GB of host memory"
    parts = [where, *([model.name] if model else [])]
    if query.bits:
        parts.append(f"{query.bits:g} bit")
    parts += [column(need).chosen for need in query.needs]
    return ", ".join(parts)


def _article(name: str) -> str:
    """The article before a device's name; abbreviations are read letter by letter."""
    if name.startswith(("Apple", "ZeroGPU")):
        return ""
    return "an " if name[0] in "AEION" else "a "


def _counted(rows: Sequence[Row]) -> str:
    running = sum(row.verdict == "runs" for row in rows)
    offloaded = sum(row.verdict == "runs-with-offload" for row in rows)
    if not running + offloaded:
        return "<b>nothing in the catalogue is known to run</b>"
    if not running:
        plural = offloaded > 1
        return f"<b>{offloaded} scheme{'s' * plural} run{'s' * (not plural)} with offload</b>"
    said = "1 scheme runs" if running == 1 else f"{running} schemes run"
    return f"<b>{said}{f', {offloaded} more with offload' if offloaded else ''}</b>"


def _rest(rows: Sequence[Row]) -> str:
    verdicts = [row.verdict for row in rows]
    rest = [
        f"{verdicts.count(verdict)} {words}"
        for verdict, words in REST.items()
        if verdict in verdicts
    ]
    return f"; {', '.join(rest)}" if rest else ""


def _pick(name: str, row: Row) -> str:
    scheme = escape(row.scheme or "")
    notes = [f"{size(row.bytes)} of weights, predicted"] if row.bytes else []
    if row.placement is not None and row.verdict == "runs-with-offload":
        notes.append(PLACEMENT_LABELS[row.placement.kind])
    if row.here != "ok":
        notes.append("not on this machine")
    return (
        f'<li><span class="ql-class">{name}</span>'
        f'<button type="button" class="ql-name" data-claims="{scheme}">{scheme}</button>'
        + "".join(f'<span class="ql-weight">{escape(note)}</span>' for note in notes)
        + "</li>"
    )


def problem(message: str) -> str:
    """One sentence where the answer would be."""
    return f'<p class="ql-banner is-problem" role="alert">{escape(message)}</p>'
