"""A verdict as a table to paste into a pull request."""

from __future__ import annotations

import math
from collections.abc import Mapping

from quantlab.lab.bench.interval import Span
from quantlab.lab.gate.gate import Line, Verdict
from quantlab.words.metrics import Metric
from quantlab.words.units import MIB

__all__ = ["markdown"]


def markdown(verdict: Verdict, device: Mapping[str, object], versions: Mapping[str, str]) -> str:
    """Markdown: what was run, a row a metric, where."""
    comparison = verdict.comparison
    passed = "passed" if verdict.passed else "**failed**"
    images = f"pictures: {verdict.pairs}, prompts: {len(verdict.prompts)}"
    images += " (of one picture there is no interval)" if verdict.pairs == 1 else ""
    lines = [
        f"`{comparison.plans[2]}` against `{comparison.plans[0]}` on {comparison.model}: {passed}",
        "",
        "| metric | mean (95 %) | limit | noise floor | |",
        "|---|---|---|---|---|",
        *(_row(line) for line in verdict.lines),
        "",
        f"{images}, {comparison.steps} steps, {comparison.width} x {comparison.height} px; "
        f"{device['name']}, {', '.join(f'{name} {v}' for name, v in versions.items())}",
    ]
    return "\n".join(lines) + "\n"


def _row(line: Line) -> str:
    row, sign = line.threshold.metric, "&ge;" if line.threshold.word == "min" else "&le;"
    found = "identical" if line.found is None else _span(row, line.found)
    floor = "identical" if math.isinf(line.floor) else _number(row, line.floor)
    limit = f"{sign} {_number(row, line.threshold.limit)}"
    state = "ok" if line.passed else "**past it**"
    return f"| {row.titled()} | {found} | {limit} | {floor} | {state} |"


def _span(row: Metric, found: Span) -> str:
    mean, low, high = (_number(row, value) for value in (found.mean, found.low, found.high))
    return mean if low == high else f"{mean} ({low} to {high})"


def _number(row: Metric, value: float) -> str:
    return format(value / MIB if row.unit == "bytes" else value, row.fine)
