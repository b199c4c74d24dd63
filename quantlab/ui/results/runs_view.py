"""The runs behind a line of the Results tab as HTML, each with a way to open it.

Pure functions of the field; every text is escaped here.
"""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd

from quantlab.ui.words import many, when
from quantlab.words.outcome_text import modes_text
from quantlab.words.text import shown as visible
from quantlab.words.units import seconds, size

__all__ = ["MOST_RUNS", "open_link", "runs"]

MOST_RUNS = 50


def open_link(result: str, plan: str) -> str:
    """A link that works by itself; on the page it opens without loading anew."""
    return (
        f'<a class="ql-button" href="?r={escape(result)}" data-result="{escape(result)}" '
        f'aria-label="Open {escape(plan)} in Compare">Open</a>'
    )


def runs(frame: pd.DataFrame, key: str) -> str:
    """Every run behind a line, the newest first; ``key`` is the button's ``data-runs``."""
    group, _, rest = key.partition("|")
    role, _, plan = rest.partition("|")
    chosen = (frame["group"] == group) & (frame["role"] == role) & (frame["plan"] == plan)
    rows = frame[chosen].sort_values("measured_at", ascending=False, kind="stable")
    if rows.empty:
        return '<p class="ql-hint">Nothing is recorded of that any more.</p>'
    items = "".join(_run(row) for row in rows.head(MOST_RUNS).to_dict("records"))
    rest_text = (
        f'<p class="ql-hint">{len(rows) - MOST_RUNS} more are in the exports.</p>'
        if len(rows) > MOST_RUNS
        else ""
    )
    return (
        f'<h2 class="ql-claims-title">{escape(plan)}</h2><p class="ql-hint">'
        f"{many(len(rows), 'run')}, the newest first.</p>"
        f'<ul class="ql-runs">{items}</ul>{rest_text}'
    )


def _run(row: Any) -> str:
    figures = [seconds(_known(row["latency_s"])), size(_known(row["weights_bytes"]))]
    if (psnr := _known(row["psnr_db"])) is not None:
        figures.append(f"{psnr:.1f} dB")
    elif row["identical"]:
        figures.append("identical")
    figures.append(modes_text(row["plan"], across=row["across_modes"]))
    known = ", ".join(figure for figure in figures if figure not in ("-", ""))
    said = row["error"] if row["status"] != "ok" else known
    seed = "" if pd.isna(row["seed"]) else f", seed {row['seed']}"
    prompt = f"“{row['prompt']}”{seed}" if row["prompt"] else row["source"]
    moment = when(row["measured_at"]) if row["measured_at"] else f"checked {row['checked']}"
    link = open_link(row["result"], row["plan"]) if row["result"] else ""
    source = "" if row["result"] else f"; {row['source']}"
    return (
        f"<li><div><b>{escape(visible(prompt))}</b><span>{escape(str(said))}</span>"
        f'<span class="ql-source">{escape(moment + source)}</span></div>{link}</li>'
    )


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
