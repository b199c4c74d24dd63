"""Long work behind the page: in a thread, told of as it goes, so that it can be stopped.

Knows nothing of what is done, of Gradio or HTML; machine/probing.py and tuning/working.py say what.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["working"]

T = TypeVar("T")
TICK_S = 1.0
"""Something is told at least this often, so that a page that was closed is noticed."""
END_S = 10.0
"""Work that was stopped ends within this time."""


@dataclass(frozen=True)
class _End:
    """That the work has ended, and what it raised."""

    error: BaseException | None = None


def working(
    work: Callable[[Callable[[T], None]], None], stop: threading.Event
) -> Generator[list[T], None, None]:
    """Do ``work`` in a thread; it is handed what to tell with. Yields what was told since, in its
    order, and an empty list where nothing was for a moment; ends when ``work`` does.

    Whoever closes this sets ``stop``, which ``work`` must heed. What it raises is raised here.
    """
    events: queue.SimpleQueue[T | _End] = queue.SimpleQueue()

    def run() -> None:
        try:
            work(events.put)
            events.put(_End())
        except BaseException as error:  # handed over: it is raised where the page waits
            events.put(_End(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield from _told(events)
    except GeneratorExit:  # the page was closed in the middle
        stop.set()
        raise
    finally:
        thread.join(END_S)


def _told(events: queue.SimpleQueue[T | _End]) -> Generator[list[T], None, None]:
    end = None
    while end is None:
        taken = _taken(events)
        end = next((event for event in taken if isinstance(event, _End)), None)
        told = [event for event in taken if not isinstance(event, _End)]
        if told or end is None:
            yield told
    if end.error is not None:
        raise end.error


def _taken(events: queue.SimpleQueue[T]) -> list[T]:
    """All events that are there, or those of the next moment; none where nothing happens."""
    try:
        taken = [events.get(timeout=TICK_S)]
    except queue.Empty:
        return []
    while not events.empty():
        taken.append(events.get())
    return taken
