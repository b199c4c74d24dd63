"""What people run into on some hardware though the scheme runs there: told, never a verdict.

Traps of a library stand in its file under data/methods; the one of a card without bf16 is here.
"""

from __future__ import annotations

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.schema import Method, Model, Scheme, Trap

__all__ = ["NO_BF16", "emulates_bf16", "traps_of"]

NO_BF16 = (
    "bf16: the card has no hardware for it and emulates it, several times slower (CUDA C++ "
    "Programming Guide, compute capabilities, 2026-11); FLUX in fp16 overflows to a black picture "
    "(https://github.com/huggingface/optimum-quanto/issues/231, 2026-11)"
)


def emulates_bf16(gpu: Gpu | None, model: Model | None) -> bool:
    """Whether a model of bf16 is asked about on a card without hardware for it."""
    in_bf16 = model is not None and model.base_dtype == "bf16"
    return gpu is not None and gpu.bf16_native is False and in_bf16


def traps_of(
    method: Method, scheme: Scheme, hardware: str | None, gpu: Gpu | None
) -> tuple[Trap, ...]:
    """The traps of ``method`` that ``scheme`` falls into on that hardware, or that card."""
    card = (gpu.capability or gpu.arch) if gpu is not None else ""
    return tuple(trap for trap in method.traps if trap.catches(scheme.id, hardware, card))
