"""What somebody else measured of a model on a card, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PLACEMENTS", "READINGS", "Placement", "Published", "Reading"]

Placement = Literal["resident", "staged", "model-offload", "group-offload"]
Reading = Literal["unknown", "process"]

PLACEMENTS: tuple[Placement, ...] = ("resident", "staged", "model-offload", "group-offload")
READINGS: tuple[Reading, ...] = ("unknown", "process")


@dataclass(frozen=True)
class Published:
    """One plan on one card, measured elsewhere: ``documented``, never measured here.

    ``peak_bytes`` is the peak of the card's memory, converted from ``said``, the figure as it was
    published with its unit. ``reading`` is how it was read: "process" is all that the driver counts
    for the process, so what torch keeps of freed blocks and the driver's own are in it.
    ``cast_there`` is whether everything was put on the card in the base dtype before it was cast
    there. ``total_s`` and ``denoise_s`` are of one whole image and of its steps; ``script_s`` is of
    a script from its start, loading included. ``explained`` is what may lie behind a difference to
    the prediction: an explanation, and no fact.
    """

    plan: str
    placement: Placement
    gpu: str
    width: int
    height: int
    steps: int
    tool: str
    url: str
    checked: str
    said: str = ""
    peak_bytes: int | None = None
    reading: Reading = "unknown"
    cast_there: bool = False
    total_s: float | None = None
    denoise_s: float | None = None
    script_s: float | None = None
    note: str = ""
    explained: str = ""
