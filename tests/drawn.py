"""What coroutines and async generators give, each in an event loop and a thread of its own.

A browser kept open for other tests leaves its event loop running in the main thread, where a second
one cannot start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["awaited", "drawn"]

T = TypeVar("T")


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


def drawn(values: AsyncIterator[T]) -> list[T]:
    """All values, in order."""

    async def draw() -> list[T]:
        return [value async for value in values]

    return awaited(draw())
