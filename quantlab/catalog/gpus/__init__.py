"""The cards that a plan is held against: data/gpus/*.toml, read, found by what people type.

What the figures of a card stand for; None is unknown, and nothing is guessed:

- ``memory_gb``: what is printed on the box. ``bytes``: the total that torch or the driver reports,
  a little less (of a 24 GB card 23.6 GiB); for Apple silicon the working set that Metal
  recommends, which ``torch.mps.recommended_max_memory()`` returns.
- ``peak16_tflops``: dense products of fp16 or bf16 with fp32 accumulation, without sparsity.
  GeForce and some others (A10G, L20, L40) run these at half the rate of fp16 accumulation, which
  advertisements quote. Without tensor cores (GTX, RDNA2): what the vectors do.
- ``fp32_tflops``: vectors at the stated boost clock; of a laptop's chip at the highest one stated,
  which a laptop reaches at full power only.
- ``peak_fp8_tflops``, ``peak_int8_tops``: dense, with fp32 and int32 accumulation.
- ``matmul16_tflops``: measured, a large product in PyTorch; ``matmul16_source`` says by whom.
- ``bandwidth_gbs``: of the memory, in 10**9 bytes a second; ``pcie_gbs``: of the slot, one way.
- ``l2_mb``: the L2 cache, in 2**20 bytes.
- ``bf16_native``: whether bf16 products have hardware.
- ``sources``: where the figures are from; ``single_source`` names those figures that only one of
  them has, or on which they differ by more than 3 %. ``tools.gpu_figures`` compares.
"""

from __future__ import annotations

from quantlab.catalog.gpus.cards import FIGURES, KINDS, Gpu, Kind, load_gpus, usable_bytes
from quantlab.catalog.gpus.finder import (
    choose,
    choose_one,
    find,
    find_all,
    recognise,
)

__all__ = [
    "FIGURES",
    "KINDS",
    "Gpu",
    "Kind",
    "choose",
    "choose_one",
    "find",
    "find_all",
    "load_gpus",
    "recognise",
    "usable_bytes",
]
