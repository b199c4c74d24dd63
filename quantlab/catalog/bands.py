"""Reads data/bands.toml: the words beside fidelity figures, their limits and where those are from.

A word never replaces a figure. It says how far two images, or two outputs of one step, are apart;
not which one is better: a low PSNR is another image, which may be just as good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.toml import Table, read_toml
from quantlab.words.metrics import SCORES, Metric, metric

__all__ = ["BANDED", "Band", "Bands", "Mark", "Scale", "load_bands"]

BANDED = tuple(row for row in SCORES if row.banded)


@dataclass(frozen=True)
class Band:
    """One word. ``level`` counts down from identical to 0, the farthest.

    ``limits`` by the metric's key: the least, or of what is best low the most, that still has this
    word; none in the first band, which is equality, and the last, which takes what is left.
    """

    word: str
    meaning: str
    level: int
    limits: Mapping[str, float]

    def holds(self, metric: Metric, value: float) -> bool:
        """Whether ``value`` is within this band's limit, or there is none."""
        limit = self.limits.get(metric.key)
        if limit is None:
            return True
        return value <= limit if metric.best == "low" else value >= limit


@dataclass(frozen=True)
class Scale:
    """Where the limits of one metric are from; ``source`` is empty where they are our own."""

    metric: Metric
    name: str
    unit: str
    basis: str
    source: str
    url: str
    checked: str


@dataclass(frozen=True)
class Mark:
    """A published PSNR in dB that shows what is usual."""

    text: str
    psnr_db: float
    source: str
    url: str
    checked: str


@dataclass(frozen=True)
class Bands:
    """All words from identical to the farthest, the scale of each metric, and marks on PSNR."""

    bands: tuple[Band, ...]
    scales: tuple[Scale, ...]
    marks: tuple[Mark, ...]

    def of(self, metric: Metric, value: float | None) -> Band:
        """The band of ``value``, in the metric's unit. None, or no error at all, is identical.

        PSNR and SSIM of identical images have no value; see lab/bench/fidelity.py.
        """
        if value is None or (metric.best == "low" and value == 0):
            return self.bands[0]
        return next(band for band in self.bands[1:] if band.holds(metric, value))


@lru_cache(maxsize=8)
def load_bands(folder: Path | None = None) -> Bands:
    """The bands of ``folder``/data/bands.toml; None takes the project's own.

    Raises:
        CatalogError: the file breaks the schema; the message names file, key and what was expected.
    """
    root = folder or PROJECT
    top = read_toml(root / "data" / "bands.toml", root)
    tables = top.tables("bands")
    if len(tables) < 3:
        raise top.fail("bands", "expected at least three")
    bands = tuple(
        _band(table, len(tables) - 1 - index, 0 < index < len(tables) - 1)
        for index, table in enumerate(tables)
    )
    for better, worse, table in zip(bands[1:-2], bands[2:-1], tables[2:-1], strict=True):
        _check_order(better, worse, table)
    scales = tuple(_scale(table) for table in top.tables("scales"))
    if tuple(scale.metric for scale in scales) != BANDED:
        keys = ", ".join(row.key for row in BANDED)
        raise top.fail("scales", f"expected one each of {keys}, in this order")
    marks = tuple(_mark(table) for table in top.tables("marks"))
    top.done()
    return Bands(bands, scales, marks)


def _band(table: Table, level: int, limited: bool) -> Band:
    word, meaning = table.text("word"), table.text("meaning")
    limits = {row.key: table.get(row.key, float) for row in BANDED if limited}
    table.done()
    return Band(word, meaning, level, limits)


def _check_order(better: Band, worse: Band, table: Table) -> None:
    for row in BANDED:
        if better.holds(row, worse.limits[row.key]):
            raise table.fail(row.key, "expected a limit farther out than the band's before it")


def _scale(table: Table) -> Scale:
    scale = Scale(
        metric=metric(table.choice("metric", tuple(row.key for row in BANDED))),
        name=table.text("name"),
        unit=table.text("unit", ""),
        basis=table.text("basis"),
        source=table.text("source", ""),
        url=_url(table, needed=False),
        checked=table.text("checked"),
    )
    table.done()
    if bool(scale.source) != bool(scale.url):
        raise table.fail("url", "expected a source with an address, or neither")
    return scale


def _mark(table: Table) -> Mark:
    mark = Mark(
        text=table.text("text"),
        psnr_db=table.get("psnr_db", float),
        source=table.text("source"),
        url=_url(table, needed=True),
        checked=table.text("checked"),
    )
    table.done()
    return mark


def _url(table: Table, *, needed: bool) -> str:
    url = table.text("url", None if needed else "")
    if url and not url.startswith("https://"):
        raise table.fail("url", f"{url!r:.60} does not start with https://")
    return url
