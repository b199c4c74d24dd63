"""Gradio's page, in which an output that is skipped costs nothing.

Gradio builds a component anew for every update, also for ``gr.skip()``: half a millisecond each.
Events of this page have up to 90 outputs, most of them skipped.
"""

from __future__ import annotations

import copy
from typing import Any

import gradio as gr

__all__ = ["Page"]


class Page(gr.Blocks):  # type: ignore[misc]  # gradio has no types
    """As ``gr.Blocks``; of an event's values only those that are no skips are handed on."""

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """The values of an event's outputs as the browser gets them, in the outputs' order."""
        outputs = block_fn.outputs
        if not isinstance(predictions, list | tuple) or not 1 < len(predictions) == len(outputs):
            return list(await super().postprocess_data(block_fn, predictions, state))
        skipped = gr.skip()
        found = [skipped] * len(outputs)
        kept = [n for n, value in enumerate(predictions) if not _equals(value, skipped)]
        if kept:
            fewer = copy.copy(block_fn)
            fewer.outputs = [outputs[n] for n in kept]
            values = [predictions[n] for n in kept]
            given = values if len(kept) > 1 else values[0]
            for n, value in zip(
                kept, await super().postprocess_data(fewer, given, state), strict=True
            ):
                found[n] = value
        return found


def _equals(value: Any, skipped: dict[str, Any]) -> bool:
    """Asked of dicts only: arrays and frames answer ``==`` with more than one truth."""
    return isinstance(value, dict) and value == skipped
