"""Of what many ask at once, everybody's turn comes soon, and nobody is refused."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from quantlab.ui.visitors.turns import InTurn, Pending, Turns
from tests.drawn import awaited


def test_who_asks_once_does_not_wait_for_all_that_another_asked() -> None:
    turns, done, most, now = Turns(each=2, most=3), [], 0, 0

    async def work(who: str) -> None:
        nonlocal most, now
        async with turns.of(who):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
        done.append(who)

    async def story() -> None:
        flood = [asyncio.ensure_future(work("flooder")) for _ in range(20)]
        await asyncio.sleep(0)
        await work("neighbour")
        await asyncio.gather(*flood)

    awaited(story())
    assert done.index("neighbour") <= 2
    assert done.count("flooder") == 20
    assert most == 3


def test_who_gives_up_waiting_leaves_the_turn_to_the_next() -> None:
    turns = Turns(each=1, most=1)

    async def story() -> None:
        async with turns.of("a"):
            waiting = asyncio.ensure_future(turns.of("a").__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
        async with asyncio.timeout(60), turns.of("a"), asyncio.timeout(60):
            pass

    awaited(story())


async def runs() -> None: ...


HANDLERS = {1: SimpleNamespace(fn=len), 2: SimpleNamespace(fn=runs)}


def request_of(who: str) -> Any:
    return SimpleNamespace(headers={}, client=SimpleNamespace(host=who))


def test_a_visitor_has_a_few_events_in_the_queue_and_room_when_one_has_ended() -> None:
    pending = Pending(most=2)
    names = iter(range(100))

    async def push(body: Any, request: Any, **_: object) -> tuple[bool, str, str]:
        if body.data == "bad":
            return False, "no", "error"
        if body.data == "broken":
            raise KeyError(body)
        name = str(next(names))
        pending[name] = SimpleNamespace(request=request, fn=HANDLERS[body.fn_index])
        return True, name, "success"

    held = pending.holding(push, HANDLERS)

    def comes(who: str, data: str = "", fn_index: int = 1) -> asyncio.Future[Any]:
        body = SimpleNamespace(data=data, fn_index=fn_index)
        return asyncio.ensure_future(held(body=body, request=request_of(who), username=None))

    async def story() -> None:
        flood = [comes("8.8.8.8") for _ in range(5)]
        await asyncio.sleep(0.01)
        assert [each.done() for each in flood] == [True, True, False, False, False]
        assert (await comes("9.9.9.9"))[0]
        flood.pop().cancel()
        for number in range(4):
            assert pending.pop(str(number), None) is not None
            await asyncio.sleep(0.01)
        assert all(each.done() for each in flood)
        assert pending.pop("nothing", None) is None
        for _ in range(3):
            assert (await comes("8.8.4.4", "bad"))[0] is False
            with pytest.raises(KeyError):
                await comes("8.8.4.4", "broken")
        async with asyncio.timeout(60):
            assert (await comes("8.8.4.4"))[0]
            for _ in range(5):  # the line of jobs holds what waits for a run
                _, name, _ = await comes("8.8.4.4", fn_index=2)
            assert pending.pop(name).request.client.host == "8.8.4.4"

    awaited(story())


def test_a_file_from_memory_waits_for_no_turn() -> None:
    """What may have to be made does."""
    turns, seen = Turns(each=1), []

    async def app(scope: Any, *_: Any) -> None:
        seen.append(scope["path"])

    def asks(path: str) -> Any:
        scope = {"type": "http", "path": path, "headers": [], "client": ("8.8.8.8", 1)}
        return InTurn(app, turns)(scope, None, None)  # type: ignore[arg-type]

    async def story() -> None:
        async with turns.of("8.8.8.8"):
            waiting = asyncio.gather(asks("/"), asks("/config"))
            await asks("/assets/index.js")
            await asyncio.sleep(0.01)
            assert seen == ["/assets/index.js"]
        await waiting
        assert sorted(seen[1:]) == ["/", "/config"]

    awaited(story())


def test_who_reads_slowly_holds_no_turn() -> None:
    turns, seen = Turns(each=1, most=1), []

    async def app(scope: Any, _: Any, send: Any) -> None:
        seen.append(scope["client"][0])
        await send({"type": "http.response.start"})

    async def story() -> None:
        read = asyncio.Event()

        async def slow(_: Any) -> None:
            await read.wait()

        async def fast(_: Any) -> None: ...

        def asks(who: str, send: Any) -> Any:
            scope = {"type": "http", "path": "/", "headers": [], "client": (who, 1)}
            return InTurn(app, turns)(scope, None, send)  # type: ignore[arg-type]

        waiting = [asyncio.ensure_future(asks("8.8.8.8", slow)) for _ in range(3)]
        await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            await asks("9.9.9.9", fast)
        assert seen == ["8.8.8.8"] * 3 + ["9.9.9.9"]
        read.set()
        await asyncio.gather(*waiting)

    awaited(story())
