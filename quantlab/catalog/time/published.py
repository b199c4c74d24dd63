"""Times that others published of a model, on makes of device for which no time is predicted.

Documented, never measured here, and no prediction is made of them: they say what somebody saw. The
rows are those of data/latency/published.csv, whose columns tools/latency_rows.py explains; of a
setting that is stated, or from which little was inferred (trust A to C), and of memory that
sufficed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.time.reasons import VENDORS

__all__ = ["PublishedTime", "published_times"]

FILE = Path("data") / "latency" / "published.csv"
TRUSTED = ("A", "B", "C")
UNUSABLE = "no"
"""In the column ``fit``: another thing was timed than the pipeline in memory that suffices."""


@dataclass(frozen=True)
class PublishedTime:
    """Somebody's ``seconds`` on ``chip``: of a whole call of ``steps``, or of a single step where
    that is None. ``kind`` is the device's, as in data/gpus."""

    model: str
    kind: str
    chip: str
    scheme: str
    steps: int | None
    seconds: float
    width: int
    height: int
    tool: str
    trust: str
    source: str
    year: str
    note: str

    @property
    def short(self) -> str:
        """``bf16 on Apple M1 Max: 720 s for 28 steps (diffusers)``."""
        return f"{self.scheme} on {self.chip}: {self._took} ({self.tool})"

    def __str__(self) -> str:
        """The whole of it with its source."""
        note = f"; {self.note}" if self.note else ""
        size = f"{self.width} x {self.height} px"
        return f"published: {self.short}, {size}{note} ({self.source}, {self.year})"

    @property
    def _took(self) -> str:
        each = "a step" if self.steps is None else f"for {self.steps} steps"
        return f"{self.seconds:g} s {each}"


def published_times(model_id: str, kind: str) -> Sequence[PublishedTime]:
    """Those of the model on devices of a kind of data/gpus, the most trusted first."""
    return _read().get((model_id, kind), ())


@lru_cache(maxsize=1)
def _read() -> Mapping[tuple[str, str], Sequence[PublishedTime]]:
    chips, found = _chips(), dict[tuple[str, str], list[PublishedTime]]()
    with (PROJECT / FILE).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["trust"] in TRUSTED and row["fit"] != UNUSABLE and row["gpu"] in chips:
                one = _of(row, *chips[row["gpu"]])
                found.setdefault((one.model, one.kind), []).append(one)
    return {key: tuple(sorted(each, key=lambda one: one.trust)) for key, each in found.items()}


def _of(row: Mapping[str, str], chip: str, kind: str) -> PublishedTime:
    whole = row["seconds_total"]
    return PublishedTime(
        model=row["model"],
        kind=kind,
        chip=chip,
        scheme=row["scheme"],
        steps=int(row["steps"]) if whole else None,
        seconds=float(whole or row["seconds_per_step"]),
        width=int(row["width"]),
        height=int(row["height"]),
        tool=row["tool"],
        trust=row["trust"],
        source=row["source"],
        year=row["year"],
        note=row["note"],
    )


def _chips() -> Mapping[str, tuple[str, str]]:
    """Name and kind of what no time is predicted for, by the id that a row has for it: a card's
    own, or of a chip that comes with memory of several sizes (``apple-m1-max``) maker and name."""
    cards = [card for card in load_gpus().values() if card.vendor in VENDORS]
    found = {
        f"{card.vendor} {alias}".lower().replace(" ", "-"): (f"{card.vendor} {alias}", card.kind)
        for card in cards
        if card.unified
        for alias in card.aliases
    }
    return {**found, **{card.id: (card.name, card.kind) for card in cards}}
