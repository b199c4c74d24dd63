"""What an async generator yields, as a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

__all__ = ["drawn"]

T = TypeVar("T")


def drawn(values: AsyncIterator[T]) -> list[T]:
    """All values, drawn in an event loop of their own."""

    async def draw() -> list[T]:
        return [value async for value in values]

    return asyncio.run(draw())
