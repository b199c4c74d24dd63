"""Outcomes of five plans with figures that tests can reckon with, and where they were measured."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

from quantlab.words.outcome import Outcome

__all__ = ["DEVICE", "FIGURES", "MIB", "VERSIONS", "outcome"]

DEVICE = {"kind": "cpu", "name": "a laptop", "threads": 2}
VERSIONS = {"torch": "2.13.0", "quantlab": "0.1.0"}
MIB = 2**20
FIGURES: dict[str, tuple[int, float, float | None]] = {
    "fp32": (200, 1.0, None),
    "bnb-nf4": (40, 1.3, 24.0),
    "quanto-int8": (60, 1.5, 36.0),
    "sdnq-int8": (61, 1.6, 35.0),  # worse than quanto-int8 in all three
    "torchao-int8wo": (62, 1.2, 34.0),
}
"""Weights in MiB, seconds, and dB against the first."""


def outcome(plan: str, **more: Any) -> Outcome:
    weights, seconds, psnr = FIGURES[plan]
    made = Outcome(
        plan,
        "ok",
        weights_bytes={"transformer": weights * MIB},
        peak_bytes=900 * MIB,
        peak_kind="rss",
        latency_s=(seconds,),
    )
    if psnr is not None:
        made = made.scored(psnr_db=psnr, ssim=psnr / 40, transformer_rel_l2=0.1)
    fields = {field.name for field in dataclasses.fields(Outcome)}
    made = made.scored(**{name: value for name, value in more.items() if name not in fields})
    return replace(made, **{name: value for name, value in more.items() if name in fields})
