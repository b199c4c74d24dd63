"""What waits for callers who may never read it: bounded, and never at the cost of who listens.

Gradio keeps what it has to say to the 2,000 callers who came last. Somebody who calls and never
listens had it keep 2,000 answers, and by as many calls took their streams from all who listened.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = ["Unread"]

Queue = asyncio.Queue[Any]


class Unread(OrderedDict[str, Queue]):
    """Messages by caller: of ``most`` callers, and of ``unread`` with some that nobody has read.

    Who listens has read all of theirs but for moments, so that theirs go last; the oldest go first.
    ``forgotten`` is called with the name of each who went; what still comes for them is lost.
    """

    def __init__(
        self, most: int, unread: int, forgotten: Callable[[str], object] = lambda _: None
    ) -> None:
        super().__init__()
        self._most, self._unread, self._forgotten = most, unread, forgotten

    def __missing__(self, name: str) -> Queue:
        return Queue()

    def __setitem__(self, name: str, messages: Queue) -> None:
        super().__setitem__(name, messages)
        waiting = [each for each, found in self.items() if each != name and not found.empty()]
        doomed = waiting[: max(0, len(waiting) - self._unread)]
        if not doomed and len(self) > self._most:
            doomed = [next(iter(self))]
        for each in doomed:
            del self[each]
            self._forgotten(each)
