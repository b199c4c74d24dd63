"""What waits for callers who may never read it: bounded, and never at the cost of who listens.

Gradio keeps what it has to say to the 2,000 callers who came last. Somebody who calls and never
listens had it keep 2,000 answers, and by as many calls took their streams from all who listened.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = ["Heard", "Unread"]


class Heard(asyncio.Queue[Any]):
    """Messages for a caller; ``listeners`` is how many wait for the next one now, and ``heard`` is
    called whenever one has it: while they pass it on, nobody waits."""

    def __init__(self, heard: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.listeners, self._heard = 0, heard

    async def get(self) -> Any:
        """The next message."""
        self.listeners += 1
        try:
            return await super().get()
        finally:
            self.listeners -= 1
            self._heard()


class Unread(OrderedDict[str, Heard]):
    """Messages by caller: of all who listen, and of ``most`` who do not; who called or listened
    longest ago goes first.

    ``forgotten`` is called with the name of each who went; what still comes for them is lost. Each
    caller gets a queue that knows who listens, whatever kind of queue Gradio hands in.
    """

    def __init__(self, most: int, forgotten: Callable[[str], object] = lambda _: None) -> None:
        super().__init__()
        self._most, self._forgotten = most, forgotten

    def __missing__(self, name: str) -> Heard:
        return Heard()

    def __setitem__(self, name: str, _: object) -> None:
        super().__setitem__(name, Heard(lambda: self._heard(name)))
        silent = [each for each, found in self.items() if each != name and not found.listeners]
        for each in silent[: max(0, len(silent) - self._most)]:
            del self[each]
            self._forgotten(each)

    def _heard(self, name: str) -> None:
        if name in self:
            self.move_to_end(name)
