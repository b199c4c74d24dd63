"""What the events of the Compare tab do: which handler hears them, what it gets and may change."""

from __future__ import annotations

from typing import Any

import gradio as gr

from quantlab.ui.compare import edit, run, share
from quantlab.ui.compare.cost import cost, cost_note
from quantlab.ui.named import QUIET, Parts, only, wire
from quantlab.ui.services import Services
from quantlab.ui.state import FIELDS, ROWS
from quantlab.words.comparison import MAX_PLANS

__all__ = ["OVERLAY", "controls", "layout", "wire_cost", "wire_edit", "wire_run", "wire_share"]

COLUMN = ("group", "transformer", "encoder")
OVERLAY = ("left", "right", "slider", "subtract", "times", "difference", "difference-note")


def controls(parts: Parts) -> Parts:
    """What a comparison is read from: see ``state.Values``."""
    columns = (f"{part}-{n}" for n in range(MAX_PLANS) for part in ("transformer", "encoder"))
    return only(parts, *FIELDS, *columns, "count")


def board_of(parts: Parts) -> Parts:
    """What ``board`` updates."""
    shown = ("head", "image", "instead", "figures")
    return only(parts, *(f"{part}-{n}" for n in range(MAX_PLANS) for part in shown))


def layout(parts: Parts) -> Parts:
    """What ``edit.lay_out`` updates."""
    columns = (f"{part}-{n}" for n in range(MAX_PLANS) for part in COLUMN)
    return {**only(parts, "count", *columns), **board_of(parts)}


def wire_run(services: Services, parts: Parts) -> None:
    waits: dict[str, Any] = {
        "concurrency_limit": None,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    begun = only(parts, "banner", "job", "shown", "run", "stop", "progress", "link")
    wire(
        [parts["run"].click, parts["prompt"].submit],
        run.check,
        services,
        {**controls(parts), **only(parts, "keep", "mine")},
        {**begun, **board_of(parts)},
        **waits,  # queued, since only then does a changed state start `run`
    )
    running = wire(
        parts["job"].change,
        run.run,
        services,
        only(parts, "job"),
        {**only(parts, "progress", "shown", *OVERLAY), **board_of(parts)},
        **waits,
    )
    ended = {**only(parts, "run", "stop", "progress"), **board_of(parts)}
    jobs = only(parts, "job", "shown")
    wire(running.then, run.settle, services, jobs, ended, **QUIET)
    wire(parts["stop"].click, run.stop, services, jobs, ended, **QUIET)


def wire_edit(services: Services, parts: Parts) -> None:
    inputs = {**only(parts, "shown"), **controls(parts)}
    choosers = only(parts, *(f"{p}-{n}" for n in range(MAX_PLANS) for p in COLUMN[1:]))
    wire(parts["more"].click, edit.add, services, inputs, layout(parts), **QUIET)
    wire(parts["fewer"].click, edit.remove, services, inputs, layout(parts), **QUIET)
    chosen = [chooser.input for chooser in choosers.values()]
    wire(chosen, edit.redraw, services, inputs, board_of(parts), **QUIET)
    known = only(parts, "model", "before")
    before = only(parts, "before")
    wire(parts["model"].focus, edit.same_model, services, known, before, **QUIET)
    anew = only(parts, *(row.key for row in ROWS if row.anew))
    changed = {**known, **anew, **choosers}
    wire(parts["model"].input, edit.change_model, services, known, changed, **QUIET)
    for index in range(MAX_PLANS):
        own = {"index": gr.State(index), **inputs}
        pressed = parts[f"instead-{index}"].click
        wire(pressed, edit.use_instead, services, own, layout(parts), **QUIET)
        script_box = only(parts, f"code-{index}")
        opened = parts[f"accordion-{index}"].expand
        wire(opened, edit.code, services, own, script_box, **QUIET)


def wire_share(services: Services, parts: Parts) -> None:
    values = controls(parts)
    wire(
        [part.change for part in values.values()],
        share.link_of,
        services,
        values,
        only(parts, "link", *(f"accordion-{n}" for n in range(MAX_PLANS))),
        trigger_mode="always_last",
        **QUIET,
    )
    shared = only(parts, "shared")
    pressed, shown = parts["share"].click, only(parts, "shown")
    wire(pressed, share.share_run, services, shown, shared, **QUIET)
    mine = only(parts, "mine")
    wire(parts["forget"].click, share.delete_mine, services, mine, shared, **QUIET)


def wire_cost(services: Services, parts: Parts) -> None:
    values = controls(parts)
    parts["cost"].value = cost_note(services, {name: x.value for name, x in values.items()})
    if not parts["cost"].value:
        return  # runs cost nothing here
    changes = [part.change for part in values.values()]
    shown = only(parts, "cost")
    wire(changes, cost, services, values, shown, trigger_mode="always_last", **QUIET)
