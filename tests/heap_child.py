"""What giving back at rest does to a Python of its own, in which nothing else takes memory.

Prints, as JSON, the MiB that went back to the system while something ran and after it ended.
"""

from __future__ import annotations

import json
import time

import psutil

from quantlab.lab.heap import give_back, give_back_at_rest

MIB = 2**20
PATIENCE_S = 60


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


def with_holes() -> list[bytes]:
    """Blocks that are in use, with 95 % of what lies between them freed."""
    blocks = [bytes(3000) for _ in range(20_000)]
    return blocks[::20]


def main() -> None:
    give_back()
    running, looked = True, 0

    def busy() -> bool:
        nonlocal looked
        looked += 1
        return running

    kept = with_holes()
    full = rss()
    give_back_at_rest(busy, look_s=0.01, worked_s=0.0)
    until = time.monotonic() + PATIENCE_S
    while looked < 5 and time.monotonic() < until:
        time.sleep(0.01)
    assert looked >= 5
    while_busy = full - rss()
    running = False
    while rss() > full - 30 * MIB and time.monotonic() < until:
        time.sleep(0.01)
    print(json.dumps({"busy": while_busy / MIB, "rest": (full - rss()) / MIB, "kept": len(kept)}))


if __name__ == "__main__":
    main()
