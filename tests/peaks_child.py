"""Peaks of known size, read in a Python of its own in which nothing else takes or frees memory.

Prints, as JSON, the ratio of what was read to what was taken: "200 MiB" and "400 MiB" by the
kernel's high-water mark, "another thread", and "sampled", 50 ms long where the kernel keeps none.
"""

from __future__ import annotations

import json
import threading
import time
from unittest.mock import patch

from quantlab.lab import counters
from quantlab.lab.bench.measure import PeakMemory

MIB = 2**20


def take(mib: int, lasting_s: float = 0.0) -> None:
    block = bytearray(b"\1") * (mib * MIB)
    time.sleep(lasting_s)
    del block


def ratio(mib: int, lasting_s: float = 0.0, in_a_thread: bool = False) -> float:
    device = counters.counters_of("cpu")
    with PeakMemory(device) as empty:
        time.sleep(lasting_s)
    with PeakMemory(device) as peak:
        if in_a_thread:
            thread = threading.Thread(target=take, args=(mib, lasting_s))
            thread.start()
            thread.join()
        else:
            take(mib, lasting_s)
    return (peak.bytes - empty.bytes) / (mib * MIB)


def main() -> None:
    found = {"200 MiB": ratio(200), "400 MiB": ratio(400)}
    found["another thread"] = ratio(200, in_a_thread=True)
    with patch.object(counters, "_reset_high_water", lambda: False):
        found["sampled"] = ratio(300, lasting_s=0.05)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
