"""Rows of a GPU day as a table and as one line of figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["figures", "show"]

HIDDEN = {
    *("part", "item", "what", "at", "evidence", "device", "device_kind", "device_bytes"),
    *("driver", "cuda", "cores", "system", "measured_on", "versions", "trace"),
}
GIB = 2**30
Rows = Sequence[dict[str, Any]]


def show(rows: Rows) -> None:
    """Print the machine, then a line a row: figures as ``name value``, bytes in GiB."""
    about = next((row for row in rows if "device" in row), {})
    print(f"{about.get('device')}, driver {about.get('driver')}, {about.get('versions')}\n")
    for row in rows:
        if row["what"] not in ("begun", "ended"):
            print(f"{row['part']:9}{row['item']:28} {row['what']:10} {_values(row)}")


def _values(row: dict[str, Any]) -> str:
    return "  ".join(f"{k} {_text(k, v)}" for k, v in row.items() if k not in HIDDEN)


def _text(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_text(name, v)}" for k, v in value.items()) + "}"
    if isinstance(value, int) and name.endswith("bytes"):
        return f"{value / GIB:.3f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:160]


def figures(rows: Rows) -> dict[str, Any]:
    """The last line: how much was tried, what failed, and the worst errors of the predictions."""
    about = next((row for row in rows if "device" in row), {})
    failed = [row for row in rows if row["what"] == "failed"]
    scripts = [row["same"] for row in rows if row["what"] == "script"]
    return {
        "device": about.get("device"),
        "items": len({(row["part"], row["item"]) for row in rows if row["what"] == "begun"}),
        "failed": sorted({f"{row['part']}:{row['item']}" for row in failed}),
        "skipped": sum(row["what"] == "skipped" for row in rows),
        "worst_weights_error": _worst(rows, "weights_error"),
        "worst_peak_error": _worst(rows, "peak_error"),
        "scripts_same": f"{sum(scripts)} of {len(scripts)}",
    }


def _worst(rows: Rows, name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return round(float(sorted(values, key=abs)[-1]), 4) if values else None
