"""What was freed goes back to the system, while nothing runs."""

from __future__ import annotations

import time

import psutil

from quantlab.lab.heap import give_back, give_back_at_rest

MIB = 2**20


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


def with_holes() -> list[bytes]:
    """Blocks that are in use, with 95 % of what lies between them freed."""
    blocks = [bytes(3000) for _ in range(20_000)]
    return blocks[::20]


def test_the_holes_between_what_is_in_use_go_back_at_rest_alone() -> None:
    give_back()
    running, looked = True, 0

    def busy() -> bool:
        nonlocal looked
        looked += 1
        return running

    kept = with_holes()
    full = rss()
    give_back_at_rest(busy, look_s=0.01, worked_s=0.0)
    until = time.monotonic() + 60
    while looked < 5 and time.monotonic() < until:
        time.sleep(0.01)
    assert looked >= 5
    assert rss() > full - 8 * MIB
    running = False
    while rss() > full - 30 * MIB and time.monotonic() < until:
        time.sleep(0.01)
    assert rss() <= full - 30 * MIB
    assert len(kept) == 1000
