"""The words and units of the page: labels for ids, marks for claims, numbers with their units.

Pure text; nothing here knows Gradio or HTML.
"""

from __future__ import annotations

from quantlab.catalog.placement import Kind
from quantlab.catalog.schema import Support, Verdict

__all__ = [
    "LETTERS",
    "MARKS",
    "PEAK_KINDS",
    "PLACEMENT_LABELS",
    "VERDICT_LABELS",
    "many",
    "when",
]

MARKS: dict[Support, tuple[str, str]] = {
    "yes": ("✓", "yes"),
    "no": ("✗", "no"),
    "partial": ("◐", "partly"),
    "unknown": ("?", "unknown"),
}
"""The sign of a claim and its word for those who do not see the sign."""

VERDICT_LABELS: dict[Verdict, tuple[str, str]] = {
    "runs": ("✓", "runs"),
    "runs-with-offload": ("✓", "runs with offload"),
    "partial": ("◐", "partly"),
    "unknown": ("?", "unknown"),
    "no": ("✗", "no"),
}

PLACEMENT_LABELS: dict[Kind, str] = {
    "resident": "runs",
    "staged": "runs staged",
    "model-offload": "runs with model offload",
    "group-offload": "runs with group offload",
}

PEAK_KINDS = {
    "cuda-allocated": "on the GPU",
    "cuda-reserved": "reserved on the GPU",
    "xpu-allocated": "on the GPU",
    "mps-driver": "Metal driver",
    "rss": "whole process, resident",
}

LETTERS = "ABCDEF"
"""Names of the columns of a comparison."""


def when(moment: str) -> str:
    """An ISO moment in UTC for people: ``2026-11-21 08:21 UTC``."""
    return f"{moment[:10]} {moment[11:16]} UTC" if len(moment) >= 16 else moment


def many(number: int, word: str) -> str:
    """A number with its word: ``3 runs``."""
    return f"{number} {word}" + ("" if number == 1 else "s")
