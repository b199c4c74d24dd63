"""Rows of a GPU day as timings in the columns of data/latency/published.csv.

    python -m benchmarks.gpu_day.latency gpu-h200.jsonl gpu-h200-latency.csv

A step was timed, not a whole run, and ``seconds_per_step`` holds it; ``seconds_total`` is that of a
run of ``steps`` steps where a whole pipeline ran, its prompt encoded before. What constants are
fitted to, those of offload are not: they are of a virtual machine whose host memory grows as it is
written to, where bringing FLUX.1's weights back took 16 s of a run.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_day.book import read
from quantlab.catalog.gpus.finder import recognise
from quantlab.catalog.table import load_catalog

__all__ = ["COLUMNS", "main", "timings"]

COLUMNS = (
    *("model", "gpu", "scheme", "timing", "text_encoder_scheme", "text_encoder_timing"),
    *("width", "height", "steps", "passes", "batch", "text_tokens", "mode", "placement"),
    *("moved_gb", "tool", "seconds_total", "seconds_per_step", "year", "source", "trust", "fit"),
    "note",
)
TOKENS = 512
"""Of the text of the full FLUX.1, as it is asked for."""


def main(arguments: Sequence[str]) -> int:
    """Read the rows of the first path, write the timings to the second."""
    rows = list(read(Path(arguments[0])))
    with Path(arguments[1]).open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(timings(rows))
    return 0


def timings(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One timing for each step, size and offloaded run of the large models."""
    for row in rows:
        if row["part"] in ("flux", "year") and row["what"] in ("step", "size", "offload"):
            yield _timing(row)


def _timing(row: dict[str, Any]) -> dict[str, Any]:
    scheme, encoder = row.get("scheme"), ""
    if scheme is None:
        parts = dict(part.split("=") for part in row["plan"].split(",") if "=" in part)
        scheme = parts.get("transformer", row["plan"].partition("@")[0])
        encoder = parts.get("text_encoder_2", "bf16")
    whole = row["what"] == "offload"
    card = recognise(row["device"], row["device_bytes"])
    return {
        "model": row.get("model", "flux1-dev"),
        "gpu": card.id if card else row["device"],
        "scheme": scheme,
        "timing": _timed_as(scheme),
        "text_encoder_scheme": encoder,
        "text_encoder_timing": _timed_as(encoder) if encoder else "",
        "width": row["width"],
        "height": row["width"],
        "steps": row["steps"] if whole else "",
        "passes": 1,
        "batch": 1,
        "text_tokens": row.get("tokens", TOKENS),
        "mode": row.get("mode", "eager"),
        "placement": row.get("placement", "resident"),
        "moved_gb": "",
        "tool": "diffusers",
        "seconds_total": round(row["total_s"], 4) if whole else "",
        "seconds_per_step": "" if whole else round(row["step_s"], 4),
        "year": row["measured_on"][:4],
        "source": f"quantlab: python -m benchmarks.gpu_day, {row['measured_on']}",
        "trust": "A",
        "fit": "no" if whole else "yes",
        "note": f"random weights; torch {row['versions']['torch']}",
    }


def _timed_as(scheme: str) -> str:
    """The class of a scheme in data/latency/constants.toml."""
    known = load_catalog().schemes.get(scheme)
    return known.timing if known else "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
