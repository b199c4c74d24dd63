"""A sweep as a tidy table: one line a run, one column a fact, read by pandas as it stands."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from quantlab.record.export import Row
from quantlab.record.sweep import role

__all__ = ["to_tidy_csv"]

_COMPARISON = ("steps", "guidance", "width", "height", "sequence_length")
_OUTCOME = (
    "way",
    "peak_bytes",
    "peak_kind",
    "load_s",
    "encode_s",
    "step_s",
    "decode_s",
    "psnr_db",
    "ssim",
    "transformer_rel_l2",
)


def to_tidy_csv(rows: Sequence[Row]) -> str:
    """Bytes are bytes, ``_s`` are seconds; ``latency_s`` is the median over the repeats.

    ``role`` is "reference", "again" (the reference once more, the noise floor) or "plan". Where
    ``identical`` is true the image equals the reference's, and PSNR and SSIM are empty. Every
    library has a column ``version_NAME``, every fact of the machine one ``device_NAME``. Text that
    a spreadsheet would take for a formula starts with an apostrophe.
    """
    records = [_record(row) for row in rows]
    columns = dict.fromkeys(name for record in records for name in record)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for record in records:
        writer.writerow([_plain(record.get(name)) for name in columns])
    return text.getvalue()


def _record(row: Row) -> dict[str, Any]:
    c, o = row.comparison, row.outcome
    return {
        "model": c.model,
        "plan": o.plan,
        "role": role(c),
        "reference": str(c.plans[0]),
        "prompt": c.prompt,
        "seed": c.seed,
        **{name: getattr(c, name) for name in _COMPARISON},
        "status": o.status,
        "error": f"{o.error.stage}: {o.error.message}" if o.error else None,
        "repeats": len(o.latency_s),
        "latency_s": median(o.latency_s) if o.latency_s else None,
        "weights_bytes": sum(o.weights_bytes.values()) or None,
        **{f"{name}_bytes": size for name, size in o.weights_bytes.items()},
        **{name: getattr(o, name) for name in _OUTCOME},
        "identical": o.transformer_rel_l2 is not None and o.ssim is None,
        **_prefixed("device", row.device),
        **_prefixed("version", row.versions),
        "measured_at": row.measured_at,
    }


def _prefixed(prefix: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}_{name}": value for name, value in facts.items()}


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
