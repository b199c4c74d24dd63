"""Peak memory while something is loaded and run."""

from __future__ import annotations

from types import TracebackType

from quantlab.lab.counters import Counters

__all__ = ["PeakMemory"]


class PeakMemory:
    """Context manager: the peak memory in bytes between entering and leaving.

    ``kind`` says what was read: "cuda-allocated", "xpu-allocated", "mps-driver", or "rss", the
    resident set of the whole process. After ``loaded()`` the peaks of loading and of running are
    known apart; ``reserved_bytes`` and ``device_bytes`` are None where the device does not tell.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.kind = self._counters.kind
        self.bytes = 0
        self.load_bytes: int | None = None
        self.run_bytes: int | None = None
        self.reserved_bytes: int | None = None
        self.device_bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        self._counters.start()
        return self

    def loaded(self) -> None:
        """Loading is over; what follows is running."""
        self.load_bytes = self._take()
        self._counters.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        last = self._take()
        if self.load_bytes is not None:
            self.run_bytes = last
        self.device_bytes = self._counters.device_bytes()

    def _take(self) -> int:
        peak, reserved = self._counters.peak_bytes(), self._counters.reserved_bytes()
        self.bytes = max(self.bytes, peak)
        if reserved is not None:
            self.reserved_bytes = max(self.reserved_bytes or 0, reserved)
        return peak
