"""Why nothing honest can be said of a time: of the card, the work, the scheme, the placement."""

from __future__ import annotations

from quantlab.catalog.time.constants import Constants
from quantlab.catalog.time.form import Chip, chip_of
from quantlab.catalog.time.texts import Reason
from quantlab.catalog.time.values import Card, Mode, Placement, Run, Work

__all__ = ["VENDORS", "against", "against_placement", "reason_against"]

VENDORS = {"AMD": Reason.AMD, "Apple": Reason.APPLE, "Intel": Reason.INTEL}
"""Makers of devices for which the rule does not hold, or nobody knows whether it does."""
LACKING = {"fp8": Reason.NO_FP8, "int8": Reason.NO_INT8}
MATRIX_RATIO = 3.0
"""Below this, 16-bit products over fp32 on a chip of before Ampere: GTX 16, which has no matrix
units."""


def reason_against(work: Work, card: Card, run: Run, constants: Constants) -> Reason | None:
    """Why no time can be given, or None."""
    reason = against(work, card, chip_of(card), run, constants)
    return reason or against_placement(run.placement, waits=run.host_memory_suffices)


def against(
    work: Work, card: Card, chip: Chip | None, run: Run, constants: Constants
) -> Reason | None:
    """The same wherever the weights are kept; ``chip`` is the card's."""
    if card.vendor in VENDORS:
        return VENDORS[card.vendor]
    if chip is None:
        return Reason.NO_FIGURES
    if chip.capability < (8, 0) and chip.peak16 < MATRIX_RATIO * chip.fp32:
        return Reason.NO_MATRIX_UNITS
    return _against_work(work) or _against_run(chip, run, constants)


def _against_work(work: Work) -> Reason | None:
    if work.denoiser is None:
        return Reason.NOT_A_TRANSFORMER
    if work.frames > 1:
        return Reason.VIDEO
    return Reason.WRITES_PROMPT if work.writes_prompt else None


def _against_run(chip: Chip, run: Run, constants: Constants) -> Reason | None:
    found = constants.classes[run.timing]
    cost = found.costs.get(run.mode)
    if run.dtype == "fp32":
        return Reason.FP32
    if run.mode is Mode.COMPILED and run.dtype == "bf16" and not chip.bf16_native:
        return Reason.BF16_EAGER  # torch/_inductor/compile_fx.py, _check_triton_bf16_support
    if cost is None:
        return found.reason or Reason.UNTIMED_MODE
    if cost.rate in LACKING and cost.rate not in chip.eight:
        return LACKING[cost.rate]
    return None


def against_placement(placement: Placement, *, waits: bool) -> Reason | None:
    """Why a placement has no time; ``waits``: whether weights wait in the host's memory."""
    if placement is Placement.GROUP_OFFLOAD:
        return Reason.GROUP_OFFLOAD
    if waits:
        return None
    return Reason.READ_AGAIN if placement is Placement.STAGED else Reason.HOST_MEMORY
