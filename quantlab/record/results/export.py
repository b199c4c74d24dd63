"""Recorded rows as text to take away: CSV for a spreadsheet, JSON for a program, Markdown to post.

CSV and JSON take the tidy records of sweeps/table.py and results/frame.py and leave nothing out:
one line a run, one column a fact, the unit in the name. Markdown takes tables that are already put
together, one for each set of numbers that belong side by side (results/groups.py).

Prompts, plans and messages are foreign text. A spreadsheet must not run them and a page must not
take them for markup, so both are escaped here.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from quantlab.record.store.row import finite
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from quantlab.words.text import shown as visible

__all__ = ["Live", "Row", "Table", "plain", "to_csv", "to_json", "to_markdown"]


class Row(Protocol):
    """What was measured: a ``Stored`` result, or a ``Live`` one that the store never saw."""

    @property
    def comparison(self) -> Comparison: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def device(self) -> Mapping[str, Any]: ...
    @property
    def versions(self) -> Mapping[str, Any]: ...
    @property
    def measured_at(self) -> str: ...


@dataclass(frozen=True)
class Live:
    """An outcome as it comes from the lab. ``measured_at``: UTC, ISO 8601, or empty."""

    comparison: Comparison
    outcome: Outcome
    device: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    measured_at: str = ""


Value = str | int | float | None
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A caption and lines of cells by header; the unit stands in the header."""

    caption: str
    lines: Sequence[Mapping[str, Value]]


def to_csv(records: Sequence[Record]) -> str:
    """One line a record, full precision, with every column that occurs in any of them."""
    columns = dict.fromkeys(name for record in records for name in record)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_csv_cell(name) for name in columns])
    for record in records:
        writer.writerow([_csv_cell(record.get(name)) for name in columns])
    return text.getvalue()


def to_json(records: Sequence[Record]) -> str:
    """A list of records; what is not known and numbers that are not finite are null."""
    items = [{k: None if v == "" else v for k, v in record.items()} for record in records]
    return json.dumps(finite(items), indent=2, allow_nan=False, ensure_ascii=False, default=str)


def to_markdown(tables: Sequence[Table]) -> str:
    """Each caption with its table; a column that is empty in all lines is left out."""
    return "\n".join(
        f"{_markdown_text(table.caption)}\n\n{_markdown_table(table.lines)}" for table in tables
    )


def _markdown_table(lines: Sequence[Mapping[str, Value]]) -> str:
    headers = dict.fromkeys(
        name for line in lines for name, value in line.items() if value not in (None, "")
    )
    used = [name for name in (lines[0] if lines else {}) if name in headers]
    rows = [used, ["---"] * len(used)]
    rows += [[_markdown_cell(line.get(name)) for name in used] for line in lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


_STARTS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""What a spreadsheet may take for the start of a formula; the last four are the wide forms."""
_FORMULA = re.compile(rf"(^|;)('* *[{_STARTS}])")
"""Also behind a semicolon: where commas are decimal marks, it parts the cells of a CSV file, and
quotes that do not begin a cell mean nothing."""
_NEUTRAL = re.compile(rf"(^|;)'('* *[{_STARTS}])")


def _csv_cell(value: Any) -> str:
    """Numbers as they are; text that would start a formula gets an apostrophe (OWASP's advice)."""
    if value is None or value != value:
        return ""
    if not isinstance(value, str):
        return str(value)
    return _FORMULA.sub(r"\1'\2", value)


def plain(cell: str) -> str:
    """The text behind a cell that ``to_csv`` wrote: without the apostrophes that it put there."""
    return _NEUTRAL.sub(r"\1\2", cell)


def _markdown_cell(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else _markdown_text(str(value))


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKUP = re.compile(r"([\\`*_\[\]|~$!#:&<>])")


def _markdown_text(text: str) -> str:
    """Text that stays text, on one line: HTML as entities, Markdown's own marks with a backslash.

    A colon is one of those, or ``https://`` would become a link.
    """
    line = " ".join(visible(text).split())
    return _MARKUP.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), line)
