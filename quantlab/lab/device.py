"""The device that pipelines run on, as a value: asked for once by whoever starts, then handed in.

What is known without torch is catalog/machine.py's ``Machine``, which a ``Device`` has; here is
what torch adds. Memory that is free is asked for anew each time.
"""

from __future__ import annotations

import functools
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

from quantlab.catalog import placement
from quantlab.catalog.machine import Machine, this_machine
from quantlab.lab.counters import Counters, counters_of
from quantlab.lab.libraries import resolve, torch

__all__ = ["Device", "this_device"]


@dataclass(frozen=True)
class Device:
    """One device, the machine around it, and how its memory and its clock are read.

    ``kind`` is the catalogue's word, "cpu", "cuda", "rocm", "metal" or "intel"; ``target`` is
    torch's, "cpu", "cuda", "mps" or "xpu". ``total_bytes`` is all of its memory, ``threads`` how
    many compute on the host.
    """

    kind: str
    target: str
    name: str
    total_bytes: int
    threads: int
    system: str
    machine: Machine
    counters: Counters
    host_free_bytes: Callable[[], int]
    """Host memory that is free now."""
    unified: bool = False
    """Whether an accelerator's memory is the host's: what only leaves the device frees nothing."""

    @property
    def is_cpu(self) -> bool:
        """Whether there is no accelerator: one memory, nothing to place."""
        return self.target == "cpu"

    @property
    def memory(self) -> placement.Device:
        """What a plan is held against now: all that this process may use of the device."""
        return placement.Device(self.counters.usable_bytes(), self.kind, unified=self.unified)

    def clock(self) -> float:
        """Seconds, after all work queued on the device is done."""
        self.counters.wait()
        return time.perf_counter()

    def info(self) -> dict[str, str | int]:
        """What results are measured on, as it is kept beside them. Memory in bytes."""
        return {
            "kind": self.kind,
            "name": self.name,
            "memory_bytes": self.total_bytes,
            "threads": self.threads,
            "system": self.system,
        }


def this_device() -> Device:
    """The device that pipelines run on here, looked up now. Imports torch.

    Raises:
        Unavailable: torch is missing or broken.
    """
    t, memory = torch(), resolve("psutil.virtual_memory")
    kind, target, name, size = "cpu", "cpu", _cpu_name(), int(memory().total)
    unified = False
    if t.cuda.is_available():
        properties = t.cuda.get_device_properties(0)
        kind, target = "rocm" if t.version.hip else "cuda", "cuda"
        name, size = properties.name, int(properties.total_memory)
        unified = bool(getattr(properties, "is_integrated", False))  # as a DGX Spark's
    elif t.backends.mps.is_available():
        kind, target, unified = "metal", "mps", True
    elif hasattr(t, "xpu") and t.xpu.is_available():
        kind, target, name = "intel", "xpu", t.xpu.get_device_name(0)
    return Device(
        kind=kind,
        target=target,
        name=name,
        total_bytes=size,
        threads=int(t.get_num_threads()),
        system=f"{platform.system()} {platform.machine()}",
        machine=this_machine(),
        counters=counters_of(target),
        host_free_bytes=lambda: int(memory().available),
        unified=unified,
    )


@functools.cache
def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
