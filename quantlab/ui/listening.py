"""A handler's work in a thread, for as long as somebody listens to it.

Gradio tells a handler nothing when its caller is gone: a closed stream, a program that ended. It
marks the event, which is looked at here between the events of the work; then the work is stopped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from gradio.context import LocalContext

__all__ = ["LOOK_S", "heard", "while_heard"]

T = TypeVar("T")
LOOK_S = 0.5
"""How often it is looked whether somebody still listens."""


def heard() -> bool:
    """Whether the caller of the handler that runs now still listens; True where none is known."""
    page, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    queue: Any = getattr(page, "_queue", None)
    if queue is None or event_id is None:
        return True
    jobs = (event for job in queue.active_jobs if job for event in job)
    return next((bool(event.alive) for event in jobs if event._id == event_id), True)


async def while_heard(
    work: Iterator[T], stop: threading.Event, wanted: Callable[[], bool] = heard
) -> AsyncIterator[T]:
    """What ``work`` yields, drawn in a thread; ``stop`` is set as soon as it is not ``wanted``."""
    ended = object()
    while True:
        drawn = asyncio.ensure_future(asyncio.to_thread(next, work, ended))
        while not (await asyncio.wait([drawn], timeout=LOOK_S))[0]:
            if not wanted():
                stop.set()
        event = drawn.result()
        if event is ended:
            return
        yield event  # type: ignore[misc]  # what is not `ended` is a T
