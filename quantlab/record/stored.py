"""One kept outcome, as a value and as the JSON text that the store holds.

The text says everything by itself, plans in their parts: a result stays readable when its scheme or
model is gone from the catalogue.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quantlab.catalog.table import load_catalog
from quantlab.lab.outcome import Outcome
from quantlab.lab.plan import Comparison, Plan

__all__ = ["Stored", "finite", "from_row", "input_key", "short_hash", "to_record"]


@dataclass(frozen=True)
class Stored:
    """One kept outcome. ``comparison`` is the one it was measured in, ``plan`` its plan's text."""

    id: str
    comparison: Comparison
    plan: str
    outcome: Outcome
    """Without the path of its image: that one lived on the machine that measured."""
    image_png: bytes | None
    device: Mapping[str, Any]
    versions: Mapping[str, Any]
    measured_at: str
    """UTC, ISO 8601, such as 2025-11-21T08:21:00.000000Z."""


def input_key(comparison: Comparison, plan: Plan) -> str:
    """SHA-256 of what decides the numbers of ``plan``, measured against the first plan."""
    known = load_catalog().models.get(comparison.model)
    inputs = {
        **comparison.as_dict(),
        "revision": known.revision if known else "",  # other weights, other results
        "guidance": comparison.guidance + 0.0,  # -0.0 is 0.0
        "plans": [str(comparison.plans[0]), str(plan)],
    }
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def short_hash(*pieces: str | bytes) -> str:
    """12 characters of a-z and 2-7: 60 bits, safe in a URL and easy to read out."""
    digest = hashlib.sha256()
    for piece in pieces:
        data = piece.encode() if isinstance(piece, str) else piece
        digest.update(len(data).to_bytes(8, "big") + data)
    return base64.b32encode(digest.digest())[:12].decode().lower()


def to_record(
    comparison: Comparison,
    outcome: Outcome,
    device: Mapping[str, Any],
    versions: Mapping[str, Any],
) -> str:
    """The JSON text of a row; numbers that are not finite become null."""
    record = {
        "comparison": asdict(comparison),
        "plan": outcome.plan,
        "outcome": {**outcome.as_dict(), "image": None},
        "device": device,
        "versions": versions,
    }
    return json.dumps(finite(record), separators=(",", ":"), allow_nan=False, default=str)


def finite(value: Any) -> Any:
    """The same value with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def from_row(result: str, measured_at: str, record: str, image: bytes | None) -> Stored:
    """The inverse of ``to_record``, with what else the row holds.

    Raises:
        ValueError, TypeError, KeyError: the record is not one.
    """
    data = json.loads(record)
    return Stored(
        id=result,
        comparison=_to_comparison(data["comparison"]),
        plan=data["plan"],
        outcome=Outcome.from_dict(data["outcome"]),
        image_png=image,
        device=data["device"],
        versions=data["versions"],
        measured_at=measured_at,
    )


def _to_comparison(data: Mapping[str, Any]) -> Comparison:
    plans = (
        Plan(tuple((part[0], part[1]) for part in plan["parts"]), plan["dtype"], plan["compiled"])
        for plan in data["plans"]
    )
    return Comparison(**{**data, "plans": tuple(plans)})
