"""What a device tells of its memory and when its work is done: the one seam to an accelerator.

On a CPU the peak is the process's own high-water mark as the Linux kernel keeps it, set back at
the start: it misses nothing, however short. Elsewhere, and on Apple's Metal, a thread samples
every 5 ms. On CUDA, ROCm (which torch calls cuda too) and Intel the allocator's own counters are
read. What a device does not tell is None, never a guess.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Protocol

from quantlab.catalog.sizes.activations import CONTEXT_BYTES
from quantlab.lab.libraries import resolve, torch

__all__ = ["Counters", "counters_of"]

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
SAMPLE_S = 0.005


class Counters(Protocol):
    """What a device tells of its memory, in bytes. All of the process."""

    kind: str
    """What ``peak_bytes`` reads, as in ``Outcome.peak_kind``."""

    def start(self) -> None:
        """Count peaks from now."""

    def peak_bytes(self) -> int:
        """The most since ``start``; the next ``start`` may come after it."""

    def reserved_bytes(self) -> int | None:
        """The most that the allocator kept, in use or not, since ``start``."""

    def device_bytes(self) -> int | None:
        """What is in use on the whole device now, by every process."""

    def usable_bytes(self) -> int:
        """All that this process may use of the device: the total less what others hold."""

    def release(self) -> None:
        """Hand back what the allocator keeps without need."""

    def wait(self) -> None:
        """Return when all work that is queued on the device is done."""


def counters_of(target: str) -> Counters:
    """The counters of a device by torch's name for its kind: "cuda", "xpu", "mps" or "cpu"."""
    if target in ("cuda", "xpu"):
        return _Allocator(f"{target}-allocated", getattr(torch(), target))
    return _Metal() if target == "mps" else _Resident()


class _Allocator:
    """CUDA, ROCm and Intel: the counters of torch's caching allocator."""

    def __init__(self, kind: str, backend: Any) -> None:
        self.kind, self._backend = kind, backend

    def start(self) -> None:
        self._backend.reset_peak_memory_stats()

    def peak_bytes(self) -> int:
        return int(self._backend.max_memory_allocated())

    def reserved_bytes(self) -> int | None:
        return int(self._backend.max_memory_reserved())

    def device_bytes(self) -> int | None:
        free, total = self._free_and_total()
        return None if free is None else total - free

    def usable_bytes(self) -> int:
        """The driver's share counts as usable: the prediction takes it off."""
        free, total = self._free_and_total()
        if free is None:
            return total
        own = int(self._backend.memory_reserved()) + CONTEXT_BYTES
        return min(total, free + own)

    def release(self) -> None:
        self._backend.empty_cache()

    def wait(self) -> None:
        self._backend.synchronize()

    def _free_and_total(self) -> tuple[int | None, int]:
        try:
            free, total = self._backend.mem_get_info()
        except (AttributeError, RuntimeError):  # some of Intel's drivers do not tell what is free
            return None, int(self._backend.get_device_properties(0).total_memory)
        return int(free), int(total)


class _Sampled:
    """Counters that know the present only: a thread watches."""

    kind = ""

    def __init__(self) -> None:
        self._sampler: _Sampler | None = None

    def start(self) -> None:
        self._sampler = _Sampler(self._now)
        self._sampler.start()

    def peak_bytes(self) -> int:
        if self._sampler is None:
            return self._now()
        return self._sampler.finish()

    def reserved_bytes(self) -> int | None:
        return None

    def device_bytes(self) -> int | None:
        return None

    def _now(self) -> int:
        raise NotImplementedError


class _Metal(_Sampled):
    """Apple: what Metal's driver has given to this process."""

    kind = "mps-driver"

    def usable_bytes(self) -> int:
        return int(torch().mps.recommended_max_memory())

    def release(self) -> None:
        torch().mps.empty_cache()

    def wait(self) -> None:
        torch().mps.synchronize()

    def _now(self) -> int:
        return int(torch().mps.driver_allocated_memory())


class _Resident(_Sampled):
    """A CPU: the resident set of the whole process."""

    kind = "rss"

    def start(self) -> None:
        self._sampler = None
        if not _reset_high_water():
            super().start()

    def peak_bytes(self) -> int:
        return _high_water() if self._sampler is None else super().peak_bytes()

    def usable_bytes(self) -> int:
        return int(resolve("psutil.virtual_memory")().available)

    def release(self) -> None:
        """Nothing is kept."""

    def wait(self) -> None:
        """Nothing is queued."""

    def _now(self) -> int:
        return int(resolve("psutil.Process")().memory_info().rss)


def _reset_high_water() -> bool:
    """Set the kernel's high-water mark back to the present; False where there is none."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return _STATUS.exists()


def _high_water() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no VmHWM")


class _Sampler(threading.Thread):
    """Keeps the largest of what ``read`` says until it is finished."""

    def __init__(self, read: Any) -> None:
        super().__init__(daemon=True)
        self._read = read
        self._peak = 0
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.is_set():
            self._peak = max(self._peak, self._read())
            time.sleep(SAMPLE_S)

    def finish(self) -> int:
        self._done.set()
        self.join()
        return max(self._peak, int(self._read()))
