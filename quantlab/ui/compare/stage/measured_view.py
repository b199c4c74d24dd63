"""What stands beside a column's figures: how it ran, and what to know beforehand.

Plain text, without markup: compare/view.py escapes it.
"""

from __future__ import annotations

from quantlab.catalog.table import Catalog
from quantlab.words.outcome import Outcome
from quantlab.words.units import size

__all__ = ["how_it_ran", "warnings_of"]

PLACEMENTS = {
    "cpu": "in host memory, which the CPU computes in",
    "resident": "all of it on the device",
    "staged": "staged: text encoders, then the rest, then the image decoder alone",
    "model-offload": "model offload: one component at a time on the device",
    "group-offload": "group offload: single layers on the device",
}


def how_it_ran(outcome: Outcome) -> list[tuple[str, str]]:
    """Rows of what the device told about placement and memory; what it did not tell has none."""
    rows = []
    if outcome.placement is not None:
        rows.append(("placement", PLACEMENTS.get(outcome.placement, outcome.placement)))
    memory = (
        ("peak while loading", outcome.load_peak_bytes),
        ("peak while running", outcome.run_peak_bytes),
        ("reserved by the allocator", outcome.reserved_bytes),
        ("in use on the device, all processes", outcome.device_bytes),
    )
    rows += [(name, size(count)) for name, count in memory if count is not None]
    return rows


def warnings_of(plan: str, catalog: Catalog) -> list[str]:
    """What to know before running ``plan``: schemes that are hopeless on a GPU in eager mode."""
    if plan.endswith("@compiled"):
        return []
    named = dict.fromkeys(part.rpartition("=")[2].strip() for part in plan.split(","))
    known = (catalog.schemes.get(scheme) for scheme in named)
    return [scheme.eager.warning for scheme in known if scheme and scheme.eager]
