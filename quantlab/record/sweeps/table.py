"""What was measured as tidy records: one a run, one column a fact, read by pandas as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantlab.record.results.export import Row, to_csv
from quantlab.words.comparison import Comparison
from quantlab.words.metrics import COSTS, SCORES
from quantlab.words.outcome import Outcome

__all__ = ["MIXES", "setting_column", "tidy", "to_tidy_csv"]

MIXES = "mixes"
"""Where the versions of a row have a digest of what the tuned mixes of its plan and reference held,
and its column: they keep their names when they are tuned anew."""


def to_tidy_csv(rows: Sequence[Row]) -> str:
    """The records of ``tidy`` as CSV; text that a spreadsheet would take for a formula starts with
    an apostrophe.

    ``noise_floor_psnr_db`` and ``noise_floor_rel_l2`` are what the reference made of the same
    prompt and seed when it was run again; the first is empty where both images are identical.
    """
    records = [tidy(row) for row in rows]
    floors = {(r["prompt"], r["seed"]): r for r in records if r["role"] == "again"}
    for record in records:
        floor = floors.get((record["prompt"], record["seed"]), {})
        record["noise_floor_psnr_db"] = floor.get("psnr_db")
        record["noise_floor_rel_l2"] = floor.get("transformer_rel_l2")
    return to_csv(records)


def tidy(row: Row) -> dict[str, Any]:
    """Bytes are bytes, ``_s`` are seconds; ``latency_s`` is the median over the repeats.

    ``role`` is "reference", "again" (the reference once more, the noise floor) or "plan". Where
    ``identical`` is true the image equals the reference's, and PSNR and SSIM are empty; where
    ``across_modes`` is, an eager plan was held against a compiled one, or the reverse. Optional
    settings are there where they were given, such as ``lora``. Every library has a column
    ``version_NAME``, every fact of the machine one ``device_NAME``.
    """
    c, o = row.comparison, row.outcome
    return {
        "model": c.model,
        "plan": o.plan,
        "role": _role(c, o),
        "reference": str(c.plans[0]),
        **{setting_column(key): value for key, value in c.settings},
        "status": o.status,
        "error": f"{o.error.stage}: {o.error.message}" if o.error else None,
        "repeats": len(o.latency_s),
        "latency_s": o.cost("latency_s"),
        "weights_bytes": o.cost("weights_bytes"),
        **{f"{name}_bytes": size for name, size in o.weights_bytes.items()},
        "way": o.way,
        "peak_bytes": o.peak_bytes,
        "peak_kind": o.peak_kind,
        **{row.key: o.cost(row.key) for row in COSTS},
        **{row.key: o.scores.get(row.key) for row in SCORES},
        "identical": o.identical,
        "across_modes": o.across_modes,
        "notes": "; ".join(o.notes),
        "others_cpu": o.others_cpu,
        **_prefixed("device", row.device),
        **_prefixed("version", {k: v for k, v in row.versions.items() if k != MIXES}),
        **({MIXES: row.versions[MIXES]} if MIXES in row.versions else {}),
        "measured_at": row.measured_at,
    }


def setting_column(key: str) -> str:
    """The column of a setting. That of the pictures to go by is no column ``reference``, which has
    the plan that the others are held against."""
    return "reference_pictures" if key == "reference" else key


def _role(comparison: Comparison, outcome: Outcome) -> str:
    """A reference that was held against itself is "again"; the first one has nothing to meet."""
    if outcome.plan != str(comparison.plans[0]):
        return "plan"
    return "again" if outcome.held else "reference"


def _prefixed(prefix: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}_{name}": value for name, value in facts.items()}
