"""Gradio's page, which holds every value to its limit and hands on what an event changes alone.

Values are checked before any handler sees them, whoever sends them; what is wrong with them, or
goes wrong in a handler, is one sentence to the sender and one line of the log. Gradio reads each
input in a thread of its own, a fifth of a millisecond each, and most events of this page have 33:
numbers and texts, which are read at once here. An output that is skipped costs nothing: Gradio
builds a component anew for every update, also for ``gr.skip()``, half a millisecond each, and
events of this page have up to 90 outputs, most of them skipped. And an update belongs to its
handler: Gradio takes the value out of the dict that it is given, so one that a handler gives again,
to another visitor too, would come without its value.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import gradio as gr
from gradio.blocks import BlocksConfig
from starlette.middleware import Middleware
from starlette.routing import Route

from quantlab.errors import InputError, first_line
from quantlab.ui.guard.values import check_value
from quantlab.ui.kept.answers import Answers
from quantlab.ui.visitors.turns import Turns, of_request, waits

__all__ = ["Page"]

log = logging.getLogger(__name__)
SAID = 300
"""Characters of a refused value that are quoted at most."""
NO_VALUE = "This is no value of this page."


class _Own(dict[int, Any]):
    """A session's own components by number, over those that all have."""

    def __init__(self, shared: Mapping[int, Any]) -> None:
        super().__init__()
        self._shared = shared

    def __missing__(self, number: int) -> Any:
        return self._shared[number]

    def __contains__(self, number: object) -> bool:
        return super().__contains__(number) or number in self._shared

    def get(self, number: int, default: Any = None) -> Any:
        """The session's own, else what all have, else ``default``."""
        return super().get(number, self._shared.get(number, default))


class _Config(BlocksConfig):  # type: ignore[misc]  # gradio has no types
    """What the page is made of; each session gets a copy that holds what is its own alone.

    Gradio lists every component anew for every session and describes it, and again with every
    update: 30 ms of a core for a visitor, 2 ms for an update, and most of the memory that a session
    takes. The descriptions are read by its deep links alone, which this page has not; and no part
    of this page is laid out anew while it is served, so that its handlers are the same for all.
    """

    def __copy__(self) -> BlocksConfig:
        session = BlocksConfig(self.root_block)
        session.blocks, session.fns, session.fn_id = _Own(self.blocks), self.fns, self.fn_id
        session.config_for_block = lambda *_, **__: {}
        return session


class Page(gr.Blocks):  # type: ignore[misc]  # gradio has no types
    """As ``gr.Blocks``; checks what comes in, and hands on of what goes out what is no skip."""

    def __init__(self, left: Callable[[str], object] = lambda _: None, **options: Any) -> None:
        self.turns = Turns()
        """How much is worked on at once, for everybody and for one visitor."""
        self.answers = Answers(turns=self.turns)
        """What is the same for everybody, beside Gradio's events; see ``named.wire_shared``."""
        self.left = left
        """What is to be done when an agent's call is left, by its name; see visitors/leaving.py."""
        self.routes: list[Route] = [self.answers.route()]
        """What is served beside Gradio's own routes."""
        self.uploads: dict[str, int] = {}
        """Bytes that a request to one of them may have, where that is not what others may."""
        self.wrappers: list[Middleware] = []
        """What stands around all routes and what is kept of them, within the guards."""
        self.told: gr.HTML | None = None
        """Hears how the events go whose progress is hidden; see ``named.wire``."""
        super().__init__(**options)
        self.default_config = _Config(self)

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """The values of an event's inputs as its handler gets them, each within its limits.

        Raises:
            gr.Error: one of them is too large, or nothing that its control can hold.
        """
        if len(inputs) != len(block_fn.inputs):
            log.warning("a value was refused: %d for %s", len(inputs), block_fn.name)
            raise gr.Error(_wanted(block_fn, len(inputs)), print_exception=False)
        for block, value in zip(block_fn.inputs, inputs, strict=True):
            longest = getattr(block, "max_length", None)
            name = getattr(block, "argument", None) or getattr(block, "label", None) or "value"
            try:
                check_value(value, longest=longest, name=str(name).lower())
            except InputError as error:
                raise gr.Error(str(error), print_exception=False) from None
        try:
            unread = copy.copy(block_fn)
            unread.preprocess = False
            given = await super().preprocess_data(unread, inputs, state, explicit_call)
            pairs = zip(block_fn.inputs, given, strict=True)
            found = [_read(*pair, state) for pair in pairs] if block_fn.preprocess else given
        except gr.Error as error:
            raise gr.Error(str(error.message)[:SAID], print_exception=False) from None
        except Exception as error:  # border: whatever a forged value raises in Gradio
            log.warning("a value was refused: %s", first_line(error))
            raise gr.Error(NO_VALUE, print_exception=False) from None
        return list(found)

    async def call_function(
        self,
        block_fn: Any,
        processed_input: list[Any],
        iterator: Any = None,
        requests: Any = None,
        *more: Any,
        **named: Any,
    ) -> Any:
        """Call a handler, in its visitor's turn where it computes and does not wait for a run; what
        it raises that is not meant for people is logged, not sent."""
        turn = nullcontext() if waits(block_fn) else self.turns.of(of_request(requests))
        given = (block_fn, processed_input, iterator, requests, *more)
        try:
            async with turn:
                return await super().call_function(*given, **named)
        except (gr.Error, StopIteration, StopAsyncIteration):
            raise
        except Exception as error:  # border: a fault of ours, never the visitor's to read
            log.exception("a handler failed")
            text = "Something went wrong on this page; its log says what."
            raise gr.Error(text, print_exception=False) from error

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """The values of an event's outputs as the browser gets them, in the outputs' order."""
        outputs = block_fn.outputs
        if not isinstance(predictions, list | tuple) or not 1 < len(predictions) == len(outputs):
            return list(await super().postprocess_data(block_fn, _own(predictions), state))
        skipped = gr.skip()
        found = [skipped] * len(outputs)
        kept = [n for n, value in enumerate(predictions) if not _equals(value, skipped)]
        if kept:
            fewer = copy.copy(block_fn)
            fewer.outputs = [outputs[n] for n in kept]
            values = [_own(predictions[n]) for n in kept]
            given = values if len(kept) > 1 else values[0]
            for n, value in zip(
                kept, await super().postprocess_data(fewer, given, state), strict=True
            ):
                found[n] = value
        return found


def _wanted(handler: Any, given: int) -> str:
    """What is said to whoever sends too many values, or too few."""
    if handler.api_visibility != "public":
        return NO_VALUE
    names = ", ".join(block.argument for block in handler.inputs)
    many = f"{len(handler.inputs)} values, in this order: {names}"
    return f"{handler.api_name}: takes {many}; {given} given"


def _read(block: Any, value: Any, state: Any) -> Any:
    """What a handler gets for the ``value`` of a control; the session's own, where it has one."""
    if block.stateful:
        return value
    own = state[block._id] if state is not None and block._id in state else block
    model = getattr(own, "data_model", None)
    if model is not None and value is not None:
        value = model.model_validate(value)
    return own.preprocess(value)


def _equals(value: Any, skipped: dict[str, Any]) -> bool:
    """Asked of dicts only: arrays and frames answer ``==`` with more than one truth."""
    return isinstance(value, dict) and value == skipped


def _own(prediction: Any) -> Any:
    """An update, or a sequence of them, as dicts that Gradio may take apart; the mere value where
    an update says nothing else, since that needs no new component."""
    if isinstance(prediction, list | tuple):
        return [_own(item) for item in prediction]
    if not isinstance(prediction, dict) or prediction.get("__type__") != "update":
        return prediction
    return prediction["value"] if prediction.keys() == {"__type__", "value"} else dict(prediction)
