"""Answers that are the same for everybody: made once for everybody, and asked for by address.

An event of Gradio's takes 4 ms of a core before its handler begins, and what it answers is made
and sent anew to every visitor. These are kept, compressed as they are sent, and browsers keep them
too: the second who asks the same costs about a millisecond, and waits for nobody. One that is not
here is made when it is the turn of who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quantlab.ui.guard.hosts import visitor
from quantlab.ui.kept.packed import Packed, pack, respond
from quantlab.ui.visitors.turns import Turns

__all__ = ["Answerer", "Answers"]

Answerer = Callable[[list[Any]], Awaitable[list[Any]]]
"""The outputs of an event, as a browser gets them, for its inputs, as a browser sends them."""
Key = tuple[str, str, object]
"""Who is asked, what, and the state that the answer is of."""
KEPT = 512
"""Answers that are kept, about 15 KiB each; those nobody asked for longest go first."""
USUAL = {"accept-encoding": "br"}
"""What browsers take."""
MAX_ASKED = 4000
"""Characters of the question in an address."""
KEEP = "public, max-age=60"
"""What browsers are told: a run may change what is predicted for its card. The address names the
server's start, so a new one is asked anew."""


class Answers:
    """Named answerers behind one route, and what they answered."""

    def __init__(self, kept: int = KEPT, turns: Turns | None = None) -> None:
        self._answerers: dict[str, tuple[Answerer, Callable[[str], object]]] = {}
        self._kept: OrderedDict[Key, Packed] = OrderedDict()
        self._making: dict[Key, asyncio.Task[Packed]] = {}
        self.likely: list[tuple[str, Sequence[Any]]] = []
        """What many will ask, and of whom: the likeliest first."""
        self._most, self._turns = kept, turns or Turns()

    def add(
        self,
        name: str,
        answerer: Answerer,
        state: Callable[[str], object] = lambda _: None,
        likely: Iterable[Sequence[Any]] = (),
    ) -> None:
        """Answer what is asked of ``name`` by ``answerer``; anew where ``state`` gives another
        value for what is asked than when it was answered. ``likely`` is what many will ask."""
        self._answerers[name] = (answerer, state)
        self.likely += [(name, values) for values in likely]

    def ahead(self) -> Iterator[Coroutine[Any, Any, object]]:
        """The answering of each likely question, for before anybody asks it: of the first, no more
        than half of what is kept."""
        for name, values in self.likely[: self._most // 2]:
            yield self._found(name, json.dumps(values), USUAL, who="")

    def route(self) -> Route:
        """``GET /answers/NAME?asked=JSON``, the inputs' values in their order."""
        return Route("/answers/{name}", self._answer, methods=["GET"])

    async def _answer(self, request: Request) -> Response:
        name, asked = request.path_params["name"], request.query_params.get("asked", "")
        headers = request.headers
        try:
            found = await self._found(name, asked, headers, visitor(request.scope))
        except KeyError:
            return _refused(404, "There is no answer of that name.")
        except (ValueError, gr.Error) as error:
            return _refused(400, str(getattr(error, "message", error)))
        return await respond(found, headers, KEEP)

    async def _found(self, name: str, asked: str, headers: Mapping[str, str], who: str) -> Packed:
        """The answer to ``who`` as compressed JSON, kept from now on.

        Raises:
            KeyError: nobody of that name answers.
            ValueError: what is asked is no list of values.
            gr.Error: one of the values is none that its control can hold.
        """
        answerer, state = self._answerers[name]
        values = _values(asked)
        asked = json.dumps(values)  # the same question in as many spellings is one
        key = (name, asked, state(asked))
        if key in self._kept or key in self._making:
            return await self._shared(key, answerer, values, headers)
        async with self._turns.of(who):
            return await self._shared(key, answerer, values, headers)

    async def _shared(
        self, key: Key, answerer: Answerer, values: list[Any], headers: Mapping[str, str]
    ) -> Packed:
        """What is kept; else what is made for whoever asked first, now or already."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._making:
            task = asyncio.create_task(self._make(key, answerer(values), headers))
            task.add_done_callback(lambda _: self._making.pop(key))
            self._making[key] = task
        return await asyncio.shield(self._making[key])

    async def _make(
        self, key: Key, answering: Awaitable[list[Any]], headers: Mapping[str, str]
    ) -> Packed:
        outputs = json.dumps(await answering).encode()
        self._kept[key] = found = await pack(outputs, "application/json", headers)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found


def _values(asked: str) -> list[Any]:
    with contextlib.suppress(ValueError, RecursionError):
        values = json.loads(asked) if len(asked) <= MAX_ASKED else None
        if isinstance(values, list):
            return values
    raise ValueError("This is no question of this page.")


def _refused(status: int, text: str) -> Response:
    return JSONResponse({"detail": text}, status_code=status)
