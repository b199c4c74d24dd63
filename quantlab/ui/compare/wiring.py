"""What the events of the Compare tab do: which handler hears them, what it gets and may change."""

from __future__ import annotations

from typing import Any

from quantlab.ui.compare import edit, pictures, run, share
from quantlab.ui.compare import open as opening
from quantlab.ui.compare.cost import cost, cost_note
from quantlab.ui.named import QUIET, Parts, only, wire
from quantlab.ui.services import Services
from quantlab.ui.state import FIELDS, ROWS
from quantlab.ui.theme import script
from quantlab.words.comparison import MAX_PLANS

__all__ = ["controls", "layout", "wire_cost", "wire_edit", "wire_find", "wire_run", "wire_share"]

COLUMN = ("transformer", "encoder")
BOARD = ("board", "facts")


def controls(parts: Parts) -> Parts:
    """What a comparison is read from: see ``state.Values``."""
    columns = (f"{part}-{n}" for n in range(MAX_PLANS) for part in ("transformer", "encoder"))
    return only(parts, *FIELDS, *columns, "count")


def layout(parts: Parts) -> Parts:
    """What ``edit.lay_out`` updates."""
    columns = (f"{part}-{n}" for n in range(MAX_PLANS) for part in COLUMN)
    return only(parts, "count", *columns, *BOARD)


def wire_run(services: Services, parts: Parts) -> None:
    waits: dict[str, Any] = {
        "concurrency_limit": None,
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    begun = ("banner", "job", "live", "shown", "run", "stop", "progress", "link", "changed", *BOARD)
    given, told = {**controls(parts), **only(parts, "keep", "mine")}, only(parts, *begun)
    for asked in ([parts["run"].click, parts["prompt"].submit], parts["changed"].again):
        # Queued, since only then does a changed state start `run`; and apart, since Gradio does not
        # put events of HTML together with others.
        wire(asked, run.press, services, given, told, **waits)
    running = wire(
        parts["job"].change,
        run.run,
        services,
        only(parts, "job"),
        only(parts, "progress", "shown", *BOARD),
        **waits,
    )
    ended = only(parts, "run", "stop", "live", "progress", *BOARD)
    jobs = only(parts, "job", "shown")
    wire(running.then, run.settle, services, jobs, ended, **QUIET)
    wire(parts["stop"].click, run.stop, services, jobs, ended, **QUIET)


def wire_find(services: Services, parts: Parts, opened: Any) -> None:
    """After the page was ``opened``: take up the job of its address."""
    token, mine = only(parts, "token"), only(parts, "mine")
    taken = ("banner", "job", "live", "shown", "run", "stop", "progress", "changed", *BOARD)
    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    asked = opened.then(None, None, parts["token"], js=script("token.js"), **QUIET)
    wire(asked.then, run.find, services, {**token, **mine}, only(parts, *taken), **options)


def wire_edit(services: Services, parts: Parts) -> None:
    inputs = {**only(parts, "shown"), **controls(parts)}
    choosers = only(parts, *(f"{p}-{n}" for n in range(MAX_PLANS) for p in COLUMN))
    wire(parts["more"].click, edit.add, services, inputs, layout(parts), **QUIET)
    wire(parts["fewer"].click, edit.remove, services, inputs, layout(parts), **QUIET)
    chosen = [chooser.input for chooser in choosers.values()]
    wire(chosen, edit.redraw, services, inputs, only(parts, *BOARD), **QUIET)
    known = only(parts, "model", "before")
    before = only(parts, "before")
    wire(parts["model"].focus, edit.same_model, services, known, before, **QUIET)
    anew = only(parts, *(row.key for row in ROWS if row.anew))
    changed = {**known, **anew, **choosers, **only(parts, "limits", "reference", "pictures")}
    first = {**known, **only(parts, "transformer-0", "reference")}
    wire(parts["model"].input, edit.change_model, services, first, changed, **QUIET)
    given = only(parts, "model", "reference")
    told = only(parts, "reference", "pictures")
    box = parts["pictures"]
    wire(box.added, pictures.add_pictures, services, given, told, told=True, **QUIET)
    wire(box.cleared, pictures.clear_pictures, services, given, told, **QUIET)
    pressed = parts["facts"]
    wire(pressed.instead, edit.use_instead, services, inputs, layout(parts), told=True, **QUIET)
    wire(pressed.code, edit.code, services, inputs, only(parts, "code"), told=True, **QUIET)
    fields = only(parts, *FIELDS, "before", "limits", "pictures")
    before = {**layout(parts), **only(parts, "shown", "link"), **fields}
    wire(parts["changed"].undo, opening.undo, services, inputs, before, **QUIET)


def wire_share(services: Services, parts: Parts) -> None:
    values = controls(parts)
    # Who changes something while the page still comes is answered before the page is, whose link is
    # that of the page as it was: when it has come, the link is made of what the controls say then.
    wire(
        [part.change for part in (*values.values(), parts["arrived"])],
        share.link_of,
        services,
        {**values, **only(parts, "shown")},
        only(parts, "link", "changed", "notice", "code"),
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
