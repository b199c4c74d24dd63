"""Rows of a GPU day as timings of one image each, in the columns of published ones.

    python -m benchmarks.gpu_day.latency gpu-h200.jsonl gpu-h200-latency.csv

A step was timed, not a whole run: ``seconds_per_step`` holds it; ``seconds_total`` is that of a run
of ``steps`` steps where a whole pipeline ran, encoding left out.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_day.book import read

__all__ = ["COLUMNS", "main", "timings"]

COLUMNS = (
    *("model", "gpu", "scheme", "text_encoder_scheme", "width", "height", "steps", "batch"),
    *("mode", "placement", "tool", "seconds_total", "seconds_per_step", "encode_s", "decode_s"),
    *("year", "source", "trust", "fit", "note"),
)
NOTE = "random weights of the model's shape"


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
    return {
        "model": row.get("model", "flux1-dev"),
        "gpu": row["device"],
        "scheme": scheme,
        "text_encoder_scheme": encoder,
        "width": row["width"],
        "height": row["width"],
        "steps": row.get("steps", 1),
        "batch": 1,
        "mode": row.get("mode", "eager"),
        "placement": row.get("placement", "resident"),
        "tool": "quantlab",
        "seconds_total": _rounded(row["total_s"]) if whole else "",
        "seconds_per_step": _rounded(row["step_s"]),
        "encode_s": _rounded(row.get("encode_s")),
        "decode_s": _rounded(row.get("decode_s")),
        "year": row["measured_on"][:4],
        "source": f"benchmarks.gpu_day, {row['measured_on']}, torch {row['versions']['torch']}",
        "trust": "A",
        "fit": "offload" if whole else "yes",
        "note": NOTE,
    }


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
