"""What every scheme did on the tiny twin of every family: measured on random weights, on a CPU.

It shows that a library takes a family's layers, and that stored bytes are as predicted. It says
nothing of pictures, and nothing of a GPU.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from quantlab.catalog.paths import PROJECT

__all__ = ["COLUMNS", "TWINS", "OnTwin", "on_twins"]

TWINS = "twins-cpu.csv"
COLUMNS = ("twin", "scheme", "status", "reason", "predicted_bytes", "stored_bytes", "rel_l2")


@dataclass(frozen=True)
class OnTwin:
    """What one scheme did on one twin: "ok", "failed" with the library's reason, or "died"."""

    status: str
    reason: str
    predicted_bytes: int | None
    stored_bytes: int | None
    rel_l2: float | None

    @property
    def off(self) -> float | None:
        """How far the prediction is off, as a share of what is stored."""
        if self.predicted_bytes is None or not self.stored_bytes:
            return None
        return self.predicted_bytes / self.stored_bytes - 1


@lru_cache(maxsize=1)
def on_twins() -> Mapping[tuple[str, str], OnTwin]:
    """What is known, by the twin's name (its family's, but for bases) and the scheme."""
    path = PROJECT / "data" / "results" / TWINS
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["twin"], row["scheme"]): _read(row) for row in csv.DictReader(file)}


def _read(row: Mapping[str, str]) -> OnTwin:
    def whole(key: str) -> int | None:
        return int(row[key]) if row[key] else None

    return OnTwin(
        status=row["status"],
        reason=row["reason"],
        predicted_bytes=whole("predicted_bytes"),
        stored_bytes=whole("stored_bytes"),
        rel_l2=float(row["rel_l2"]) if row["rel_l2"] else None,
    )
