"""Measured rows as text to take away: CSV for a spreadsheet, JSON for a program, Markdown to post.

Numbers carry their unit in the header. CSV and JSON leave nothing out; Markdown shows what people
compare, one table for each distinct comparison, machine and set of versions, so that no table mixes
numbers that do not belong side by side.

Prompts, plans and messages are foreign text. A spreadsheet must not run them and a page must not
take them for markup, so both are escaped here.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

from quantlab.lab.outcome import Outcome
from quantlab.lab.plan import Comparison
from quantlab.record.stored import finite

__all__ = ["Live", "Row", "to_csv", "to_json", "to_markdown"]

GIB = 2**30


class Row(Protocol):
    """What can be exported: a ``Stored`` result, or a ``Live`` one that the store never saw."""

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
Columns = Mapping[str, Callable[[Row], Value]]


def _weights_gib(row: Row) -> float | None:
    weights = row.outcome.weights_bytes
    return sum(weights.values()) / GIB if weights else None


def _peak_gib(row: Row) -> float | None:
    peak = row.outcome.peak_bytes
    return None if peak is None else peak / GIB


def _latency_s(row: Row) -> float | None:
    return median(row.outcome.latency_s) if row.outcome.latency_s else None


def _error(row: Row) -> str | None:
    error = row.outcome.error
    return None if error is None else f"{error.stage}: {error.type}: {error.message}"


_NUMBERS: Columns = {
    "weights (GiB)": _weights_gib,
    "peak (GiB)": _peak_gib,
    "peak kind": lambda row: row.outcome.peak_kind,
    "load (s)": lambda row: row.outcome.load_s,
    "latency (s)": _latency_s,
    "PSNR (dB)": lambda row: row.outcome.psnr_db,
    "SSIM": lambda row: row.outcome.ssim,
    "transformer rel. L2": lambda row: row.outcome.transformer_rel_l2,
    "error": _error,
}
_MARKDOWN: Columns = {
    "plan": lambda row: row.outcome.plan,
    "status": lambda row: row.outcome.status,
    **_NUMBERS,
}
_CSV: Columns = {
    "model": lambda row: row.comparison.model,
    **_MARKDOWN,
    "reference": lambda row: str(row.comparison.plans[0]),
    "way": lambda row: row.outcome.way,
    "encode (s)": lambda row: row.outcome.encode_s,
    "step (s)": lambda row: row.outcome.step_s,
    "decode (s)": lambda row: row.outcome.decode_s,
    "repeats": lambda row: len(row.outcome.latency_s),
    "prompt": lambda row: row.comparison.prompt,
    "seed": lambda row: row.comparison.seed,
    "steps": lambda row: row.comparison.steps,
    "guidance": lambda row: row.comparison.guidance,
    "width (px)": lambda row: row.comparison.width,
    "height (px)": lambda row: row.comparison.height,
    "sequence length (tokens)": lambda row: row.comparison.sequence_length,
    "notes": lambda row: "; ".join(row.outcome.notes),
    "device": lambda row: _facts(row.device),
    "versions": lambda row: _facts(row.versions),
    "measured at (UTC)": lambda row: row.measured_at,
}


def to_csv(rows: Sequence[Row]) -> str:
    """One line a row, full precision, with a column of weights for every component that occurs."""
    columns = {**_CSV, **_component_columns(rows)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_csv_cell(header) for header in columns])
    for row in rows:
        writer.writerow([_csv_cell(value(row)) for value in columns.values()])
    return text.getvalue()


def to_json(rows: Sequence[Row]) -> str:
    """A list of ``{comparison, outcome, device, versions, measured_at}``; bytes and seconds as in
    the outcome, numbers that are not finite as null, no path of an image."""
    items = [
        {
            "comparison": row.comparison.as_dict(),
            "outcome": {**row.outcome.as_dict(), "image": None},
            "device": row.device,
            "versions": row.versions,
            "measured_at": row.measured_at or None,
        }
        for row in rows
    ]
    return json.dumps(finite(items), indent=2, allow_nan=False, ensure_ascii=False, default=str)


def to_markdown(rows: Sequence[Row]) -> str:
    """A caption and a table for each comparison, machine and set of versions among the rows."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_caption(row), []).append(row)
    return "\n".join(f"{caption}\n\n{_table(group)}" for caption, group in groups.items())


def _table(rows: Sequence[Row]) -> str:
    used = {
        header: value
        for header, value in _MARKDOWN.items()
        if any(value(row) is not None for row in rows)
    }
    lines = [list(used), ["---"] * len(used)]
    lines += [[_markdown_cell(value(row)) for value in used.values()] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _caption(row: Row) -> str:
    c = row.comparison
    facts = (
        f"{c.model}, prompt “{c.prompt}”, seed {c.seed}, {c.steps} steps, guidance {c.guidance:g}, "
        f"{c.width} x {c.height} px, {c.sequence_length} tokens; reference {c.plans[0]}."
    )
    where = "".join(f" {_facts(part)}." for part in (row.device, row.versions) if part)
    when = f" Measured {row.measured_at[:10]}." if row.measured_at else ""
    return _markdown_text(facts + where + when)


def _component_columns(rows: Sequence[Row]) -> Columns:
    names = dict.fromkeys(name for row in rows for name in row.outcome.weights_bytes)

    def column(name: str) -> Callable[[Row], Value]:
        def value(row: Row) -> float | None:
            size = row.outcome.weights_bytes.get(name)
            return None if size is None else size / GIB

        return value

    return {f"{name} weights (GiB)": column(name) for name in names}


def _facts(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items() if value not in (None, ""))


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet may take for the start of a formula; the last four are the wide forms."""


def _csv_cell(value: Value) -> str:
    """Numbers as they are; text that would start a formula gets an apostrophe (OWASP's advice)."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value


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
    line = " ".join(text.split())
    return _MARKUP.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), line)
