"""A card of data/gpus as the figures that a time is predicted from."""

from __future__ import annotations

from functools import lru_cache

from quantlab.catalog.gpus import Gpu
from quantlab.catalog.time.values import Card

__all__ = ["card_of"]


@lru_cache(maxsize=256)
def card_of(gpu: Gpu) -> Card:
    """The figures of ``gpu``; what is unknown stays None."""
    major, _, minor = gpu.capability.partition(".")
    return Card(
        vendor=gpu.vendor,
        capability=(int(major), int(minor)) if major and minor else None,
        peak16_tflops=gpu.peak16_tflops,
        fp32_tflops=gpu.fp32_tflops,
        bandwidth_gbs=gpu.bandwidth_gbs,
        l2_mb=gpu.l2_mb,
        pcie_gbs=gpu.pcie_gbs,
        peak_fp8_tflops=gpu.peak_fp8_tflops,
        peak_int8_tops=gpu.peak_int8_tops,
        matmul16_tflops=gpu.matmul16_tflops,
        bf16_native=bool(gpu.bf16_native),
    )
