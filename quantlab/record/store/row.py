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
from datetime import UTC, datetime
from typing import Any

from quantlab.catalog.table import load_catalog
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from quantlab.words.plan import Plan
from quantlab.words.settings import Value

__all__ = [
    "Stored",
    "comparison_of",
    "comparison_text",
    "finite",
    "from_row",
    "input_key",
    "now",
    "short_hash",
    "to_row",
]

_ROW_BYTES = 512  # what a row takes beside its record and image, about


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
    imported_at: str | None = None
    """When it came here from another machine, in the same form; None where it was measured here."""
    shipped: bool = False
    """Whether it is one of the gallery that ships with the project (record/gallery.py)."""

    def mentions(self, text: str) -> bool:
        """Whether its prompt or plan has ``text`` in it, whatever its case."""
        places = (self.comparison.prompt, self.plan)
        return any(text.casefold() in place.casefold() for place in places)


def input_key(comparison: Comparison, plan: Plan) -> str:
    """SHA-256 of what decides the numbers of ``plan``, measured against the first plan."""
    known = load_catalog().models.get(comparison.model)
    inputs = {
        **comparison.as_dict(),
        **{key: _unsigned(value) for key, value in comparison.settings},
        "revision": known.revision if known else "",  # other weights, other results
        "plans": [str(comparison.plans[0]), str(plan)],
    }
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _unsigned(value: Value) -> Value:
    """-0.0 is 0.0."""
    return value + 0.0 if isinstance(value, float) else value


def short_hash(*pieces: str | bytes) -> str:
    """12 characters of a-z and 2-7: 60 bits, safe in a URL and easy to read out."""
    digest = hashlib.sha256()
    for piece in pieces:
        data = piece.encode() if isinstance(piece, str) else piece
        digest.update(len(data).to_bytes(8, "big") + data)
    return base64.b32encode(digest.digest())[:12].decode().lower()


def now() -> str:
    """This moment in UTC, as ``measured_at`` has it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_row(stored: Stored) -> dict[str, Any]:
    """The columns of a row (store/tables.py).

    Its id is made from the rest: the same result has the same id wherever it is kept.
    """
    plan = next(plan for plan in stored.comparison.plans if str(plan) == stored.plan)
    key = input_key(stored.comparison, plan)
    record, image = _to_record(stored), stored.image_png
    return {
        "id": short_hash(key, stored.measured_at, record, image or b""),
        "key": key,
        "bytes": len(record) + len(image or b"") + _ROW_BYTES,
        "measured_at": stored.measured_at,
        "record": record,
        "image": image,
        "imported_at": stored.imported_at,
    }


def _to_record(stored: Stored) -> str:
    """The JSON text of a row; numbers that are not finite become null.

    What is not known of the outcome is left out: the text, and with it the id, stays the same when
    outcomes grow by a part that this one does not have.
    """
    outcome = finite({**stored.outcome.as_dict(), "image": None})
    blank = Outcome(stored.plan, "ok").as_dict()
    known = {name: value for name, value in outcome.items() if value != blank[name]}
    record = {
        "comparison": _comparison_record(stored.comparison),
        "plan": stored.plan,
        "outcome": {"plan": stored.plan, "status": stored.outcome.status, **known},
        "device": stored.device,
        "versions": stored.versions,
    }
    return json.dumps(finite(record), separators=(",", ":"), allow_nan=False, default=str)


def _comparison_record(comparison: Comparison) -> dict[str, Any]:
    plans = [_plan_record(plan) for plan in comparison.plans]
    return {**comparison.as_dict(), "plans": plans}


def _plan_record(plan: Plan) -> dict[str, Any]:
    """The text of a row, and with it the id, stays the same for a plan that is not trimmed."""
    record = asdict(plan)
    return record if plan.trimmed else {k: v for k, v in record.items() if k != "trimmed"}


def comparison_text(comparison: Comparison) -> str:
    """A comparison as JSON text that says everything by itself."""
    return json.dumps(_comparison_record(comparison), separators=(",", ":"), allow_nan=False)


def comparison_of(text: str) -> Comparison:
    """The inverse of ``comparison_text``.

    Raises:
        ValueError, TypeError, KeyError: the text is not one.
    """
    return _to_comparison(json.loads(text))


def finite(value: Any) -> Any:
    """The same value with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def from_row(
    result: str, measured_at: str, imported_at: str | None, record: str, image: bytes | None
) -> Stored:
    """The inverse of ``to_row``.

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
        imported_at=imported_at,
    )


def _to_comparison(data: Mapping[str, Any]) -> Comparison:
    plans = tuple(_to_plan(plan) for plan in data["plans"])
    values = {key: value for key, value in data.items() if key not in ("model", "plans")}
    return Comparison.of(data["model"], plans, values)


def _to_plan(data: Mapping[str, Any]) -> Plan:
    parts = tuple((name, scheme) for name, scheme in data["parts"])
    return Plan(parts, data["dtype"], data["compiled"], data.get("trimmed", False))
