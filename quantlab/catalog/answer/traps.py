"""What people run into on some hardware though the scheme runs there: told, never a verdict.

Traps of a library stand in its file under data/methods; the one of a card without bf16 is here.
"""

from __future__ import annotations

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.schema import Method, Model, Scheme, Trap

__all__ = ["bf16_emulated", "traps_of"]

NO_BF16 = (
    "bf16: the card has no hardware for it and emulates it, several times slower (CUDA C++ "
    "Programming Guide, compute capabilities, 2026-11)"
)


def bf16_emulated(gpu: Gpu | None, model: Model | None) -> list[str]:
    """What to know of a model of bf16 on a card without hardware for it: a sentence, or none."""
    if gpu is None or gpu.bf16_native is not False or model is None or model.base_dtype != "bf16":
        return []
    half = model.family.in_fp16
    return [f"{NO_BF16}; in fp16 {model.name} {half}" if half else NO_BF16]


def traps_of(
    method: Method, scheme: Scheme, hardware: str | None, gpu: Gpu | None
) -> tuple[Trap, ...]:
    """The traps of ``method`` that ``scheme`` falls into on that hardware, or that card."""
    card = (gpu.capability or gpu.arch) if gpu is not None else ""
    return tuple(trap for trap in method.traps if trap.catches(scheme.id, hardware, card))
