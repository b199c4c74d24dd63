"""Instruments: peak memory and clocks.

On a CPU the peak is the process's own high-water mark as the Linux kernel keeps it, set back at
the start: it misses nothing, however short. Elsewhere a thread samples the resident set every
5 ms. On an accelerator the allocator's own counter is read.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from quantlab.lab.libraries import torch
from quantlab.lab.load import device

__all__ = ["PeakMemory", "clock"]

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
SAMPLE_S = 0.005


def clock() -> float:
    """Seconds, after all work queued on the accelerator is done."""
    name = device()
    if name == "cuda":
        torch().cuda.synchronize()
    elif name in ("mps", "xpu"):
        getattr(torch(), name).synchronize()
    return time.perf_counter()


class PeakMemory:
    """Context manager: the peak memory in bytes between entering and leaving.

    ``kind`` says what was read: "cuda-allocated", "xpu-allocated", "mps-driver", or "rss", the
    resident set of the whole process.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.kind = {
            "cuda": "cuda-allocated",
            "xpu": "xpu-allocated",
            "mps": "mps-driver",
        }.get(device(), "rss")
        self._sampler: _Sampler | None = None

    def __enter__(self) -> PeakMemory:
        if self.kind in ("cuda-allocated", "xpu-allocated"):
            self._counter().reset_peak_memory_stats()
        elif self.kind == "mps-driver" or not _reset_high_water():
            self._sampler = _Sampler(self._now)
            self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.kind in ("cuda-allocated", "xpu-allocated"):
            self.bytes = int(self._counter().max_memory_allocated())
        elif self._sampler is not None:
            self.bytes = self._sampler.finish()
        else:
            self.bytes = _high_water()

    def _counter(self) -> Any:
        return torch().cuda if self.kind == "cuda-allocated" else torch().xpu

    def _now(self) -> int:
        if self.kind == "mps-driver":
            return int(torch().mps.driver_allocated_memory())
        import psutil

        return int(psutil.Process().memory_info().rss)


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
