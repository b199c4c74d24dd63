"""The number line: the same weights as 16, 8, 4 and 2 bits hold them, drawn from real ones.

Values are those of data/learn/number-line.json, which tools/number_line.py measures. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.words.comparison import SHIPPED

__all__ = ["number_line"]

FILE = PROJECT / "data" / "learn" / "number-line.json"
WIDTH, STEP, TOP, MARGIN, SIDE = 640, 54, 34, 24, 64
"""Of the drawing, in its own units."""


@cache
def number_line() -> str:
    """The drawing with its words, as HTML."""
    held = json.loads(FILE.read_text(encoding="utf-8"))
    rows = held["rows"]
    told = "; ".join(
        f"{row['bits']} bits: {row['mean_error']:.2g} off on average, {row['largest_error']:.2g} "
        "at most"
        for row in rows
    )
    drawn = "".join(_row(row, index, held["weights"]) for index, row in enumerate(rows))
    height = TOP + STEP * len(rows)
    return (
        '<figure class="ql-numbers"><svg role="img" '
        f'viewBox="0 0 {WIDTH} {height}" aria-label="{escape(told)}">{_axis(height)}{drawn}</svg>'
        f"<figcaption>{len(held['weights'])} weights of {SHIPPED} ({escape(held['layer'])}), each "
        "joined to the nearest value that its bits can say. With fewer bits there are fewer values "
        f"to say it with. Rounding errors of the whole row, measured with torchao, one scale for "
        f"{held['group']} weights: {told}.</figcaption></figure>"
    )


def _axis(height: int) -> str:
    marks = "".join(
        f'<text x="{_x(value):.1f}" y="14" class="ql-axis">{value:g}</text>'
        f'<line x1="{_x(value):.1f}" x2="{_x(value):.1f}" y1="20" y2="{height - 8}" '
        'class="ql-grid"/>'
        for value in (-0.15, -0.1, -0.05, 0, 0.05, 0.1)
    )
    return f"<g>{marks}</g>"


def _row(row: Mapping[str, Any], index: int, weights: list[float]) -> str:
    """One width: where the weights are, what they become, and the lines between."""
    above = TOP + STEP * index
    below = above + MARGIN
    lines = "".join(
        f'<line x1="{_x(was):.1f}" y1="{above}" x2="{_x(now):.1f}" y2="{below}" class="ql-moves"/>'
        for was, now in zip(weights, row["values"], strict=True)
    )
    dots = "".join(f'<circle cx="{_x(was):.1f}" cy="{above}" r="2"/>' for was in weights)
    kept = "".join(
        f'<rect x="{_x(now) - 2.5:.1f}" y="{below - 2.5}" width="5" height="5"/>'
        for now in sorted(set(row["values"]))
    )
    name = f'<text x="0" y="{below - 6}" class="ql-width">{row["bits"]} bits</text>'
    return f'{name}{lines}<g class="ql-weights">{dots}</g><g class="ql-values">{kept}</g>'


def _x(value: float) -> float:
    """Where a weight stands; the line goes from -0.16 to 0.13."""
    return SIDE + (value + 0.16) / 0.29 * (WIDTH - SIDE - 8)
