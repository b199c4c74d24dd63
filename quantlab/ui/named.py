"""Events of the page over named values: what a handler gets and gives has names, not places.

A handler is a function of one ``Call`` and gives the updates of what changes, by name. Gradio's own
lists, in which every output has its place and what stays is a skip, are made here alone.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.context import Context

from quantlab.ui.blocks import Page
from quantlab.ui.services import Services
from quantlab.ui.theme import script

__all__ = ["QUIET", "Call", "Parts", "Updates", "only", "wire", "wire_shared"]

Parts = Mapping[str, Any]
"""Components by name."""
Updates = Mapping[str, Any]
"""New values, or ``gr.update``, by the names of the components that change."""
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Options of an event that is answered at once."""


@dataclass(frozen=True)
class Call:
    """An event: the values of its inputs by name, who sent it, and what came with it."""

    services: Services
    given: Mapping[str, Any] = field(default_factory=dict)
    request: gr.Request | None = None
    event: Mapping[str, Any] = field(default_factory=dict)

    @property
    def session(self) -> str:
        """The visitor's session, or one name for all callers without any."""
        return str(getattr(self.request, "session_hash", None) or "none")


def only(parts: Parts, *names: str) -> Parts:
    """Those of ``parts``."""
    return {name: parts[name] for name in names}


Handler = Callable[[Call], Any]


def wire(
    triggers: Any,
    handler: Handler,
    services: Services,
    inputs: Parts,
    outputs: Parts,
    *,
    told: bool = False,
    **options: Any,
) -> Any:
    """Have ``handler`` answer the events ``triggers``; gives Gradio's event for what follows.

    ``told`` says that the event brings data of its own, as those of an HTML component do.

    How an event goes whose progress is hidden is told to the page's ``told`` alone: by default each
    output hears of it, when it begins and when it ends, and each time the browser copies all that
    the component holds, lists to choose from too, which takes longer than most answers do.
    """
    bound = _bound(handler, services, tuple(inputs), tuple(outputs), told=told)
    bound.__name__ = getattr(handler, "func", handler).__name__  # by which Gradio calls the event
    values, parts = list(inputs.values()), list(outputs.values()) or None
    if options.get("show_progress") == "hidden":
        options = {**options, "show_progress_on": getattr(Context.root_block, "told", None)}
    each = list(triggers) if isinstance(triggers, Iterable) else [triggers]
    if len(each) == 1:
        return each[0](bound, values, parts, **options)
    return gr.on(each, bound, values, parts, **options)


def wire_shared(
    triggers: Sequence[Any],
    handler: Handler,
    services: Services,
    inputs: Parts,
    outputs: Parts,
    state: Callable[[str], object],
    likely: Iterable[Sequence[Any]] = (),
) -> None:
    """As ``wire``, for a handler whose answer depends on its inputs, whoever asks, and on ``state``
    of what is asked (the inputs' values as JSON): another state, another answer. ``likely`` are
    values that many will ask for.

    It is made once and fetched by the browser (``ui/kept/answers.py``): for what many visitors ask,
    and ask again. The first output is one of HTML, in which a fault is told. Only where
    ``triggers`` are on a ``Page``.
    """
    page, name = Context.root_block, handler.__name__
    assert isinstance(page, Page)
    asking = script("asking.js").replace("NAME", json.dumps(name))
    values, parts = list(inputs.values()), list(outputs.values())
    gr.on(triggers, None, values, parts, js=asking, api_visibility="private")
    event = list(page.fns.values())[-1]

    async def answer(asked: list[Any]) -> list[Any]:
        found = await page.preprocess_data(event, asked, None)
        call = Call(services, dict(zip(inputs, found, strict=True)))
        updates = await asyncio.to_thread(handler, call)
        listed = _listed(handler, updates, tuple(outputs))
        return await page.postprocess_data(event, listed, None)

    page.answers.add(name, answer, state, likely)


def _bound(
    handler: Handler,
    services: Services,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    told: bool,
) -> Callable[..., Any]:
    """The function that Gradio calls: it looks at its kind, and at its parameters' types."""

    def call(request: gr.Request, event: gr.EventData | None, values: Sequence[Any]) -> Call:
        data = event._data if event is not None and isinstance(event._data, dict) else {}
        return Call(services, dict(zip(inputs, values, strict=True)), request, data)

    def listed(updates: Updates | None) -> Any:
        values = _listed(handler, updates, outputs)
        return values if len(values) != 1 else values[0]

    if inspect.isasyncgenfunction(handler):

        async def streamed(request: gr.Request, *values: Any) -> AsyncIterator[Any]:
            async for updates in handler(call(request, None, values)):
                yield listed(updates)

        return streamed
    if told:

        def with_data(request: gr.Request, event: gr.EventData, *values: Any) -> Any:
            return listed(handler(call(request, event, values)))

        return with_data

    def at_once(request: gr.Request, *values: Any) -> Any:
        return listed(handler(call(request, None, values)))

    return at_once


def _listed(handler: Handler, updates: Updates | None, outputs: Sequence[str]) -> list[Any]:
    """The updates in the order of the outputs; what stays as it is is skipped."""
    found = updates or {}
    if unknown := found.keys() - set(outputs):
        raise KeyError(f"{handler} updates {', '.join(sorted(unknown))}")
    return [found.get(name, gr.skip()) for name in outputs]
