"""What an outcome says beside its figures, in words that page, picture and command line share.

Plain text, without markup.
"""

from __future__ import annotations

from quantlab.words.outcome import Outcome

__all__ = ["BUSY", "busy_text", "floor_text", "modes_text", "placement_text"]


BUSY = 0.2
"""Share of the processor from which others make seconds of a run longer than they need be."""


def busy_text(outcome: Outcome) -> str:
    """That the seconds were taken while others had much of the processor; else nothing."""
    share = outcome.others_cpu
    if share is None or share < BUSY:
        return ""
    return f"busy machine: others had {share:.0%} of it"


def placement_text(outcome: Outcome) -> str:
    """Where the weights were kept, in two words: ``model offload``; nothing where not told."""
    return (outcome.placement or "").replace("-", " ")


def floor_text(outcome: Outcome) -> str:
    """How far the reference is from itself, or nothing where that was not measured."""
    floor = outcome.noise_floor
    if floor is None:
        return ""
    step = f"one step {100 * floor.rel_l2:.2g}% off"
    if floor.repeated == "step":
        same = "the same step to the bit" if floor.rel_l2 == 0 else step
        return f"noise floor: {same} (reference repeated)"
    if floor.psnr_db is None and floor.rel_l2 == 0:
        return "noise floor: none, the reference repeats to the bit"
    image = "same pixels" if floor.psnr_db is None else f"{floor.psnr_db:.1f} dB PSNR"
    return f"noise floor: {image}, {step} (reference repeated)"


def modes_text(plan: str, *, across: bool) -> str:
    """Which mode was held against which, where a score is ``across`` modes; else nothing."""
    if not across:
        return ""
    return "compiled against eager" if plan.endswith("@compiled") else "eager against compiled"
