"""The tab "This server": what it is, what was measured on it, and the kept probe beside it.

A machine of one's own can be probed from here; where the page is public, its button is absent.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from html import escape
from typing import Any

import gradio as gr

from quantlab.errors import QuantlabError, Unavailable
from quantlab.lab.probe.probe import CAPABILITIES, LIMITS_S, Probed
from quantlab.lab.probe.scope import ON_ENCODERS, schemes_here
from quantlab.lab.runners.runner import OwnRunner
from quantlab.record.probe_run import ProbeRequest, ProbeRun
from quantlab.record.probes import kept_probes
from quantlab.ui.compare.run import visitor_of
from quantlab.ui.compare.stage.view import banner, progress
from quantlab.ui.listening import heard, while_heard
from quantlab.ui.machine import view as machine_view
from quantlab.ui.machine.probing import Told, probing
from quantlab.ui.named import QUIET, Call, Parts, Updates, only, wire, wire_shared
from quantlab.ui.services import Services
from quantlab.ui.theme import HIDDEN, script
from quantlab.words.comparison import SHIPPED

__all__ = ["build_machine", "may_probe"]

READING = '<p class="ql-hint" role="status">Reading what this machine is…</p>'
READING_KEPT = '<p class="ql-hint" role="status">Reading the probes kept with the project…</p>'
PROBE = (
    '<h2 class="ql-section">Probe this machine</h2><p class="ql-hint">Each capability is tried for '
    f"real on {SHIPPED}, in a process of its own with a limit of time and memory. A crash is a "
    "cell like any other. What has not changed since the last probe is not measured again.</p>"
)
PUBLIC = (
    '<p class="ql-hint">This page is public, so nothing is probed from it. '
    "<code>python -m quantlab probe</code> probes a machine of your own, and so does this tab of a "
    "page that you start yourself.</p>"
)
KEPT = (
    '<h2 class="ql-section">Probes kept with the project</h2><p class="ql-hint">Documented beside '
    "measured, on its test machines (CI) and on one GPU.</p>"
)


def may_probe(services: Services) -> bool:
    """True where the page runs on the visitor's own machine, or the operator allowed it."""
    local = isinstance(services.runner, OwnRunner)
    return local and (services.allow_probe or not services.public)


def build_machine(services: Services, tab: gr.Tab) -> None:
    """Lay the tab out and wire it; ``tab`` is the one that it stands in."""
    facts = gr.HTML(READING, elem_id="ql-machine", apply_default_css=False)
    wire(tab.select, look, services, {}, {"facts": facts}, **QUIET)
    if may_probe(services):
        _build_probe(services, tab)
    else:
        gr.HTML(PUBLIC, elem_id="ql-probe-public", apply_default_css=False)
    shipped = gr.HTML(
        READING_KEPT, elem_id="ql-kept", apply_default_css=False, js_on_load=script("later.js")
    )
    wire_shared([tab.select], kept, services, {}, {"kept": shipped}, lambda _: None)


def kept(_: Call) -> Updates:
    """The probes that come with the project, or a sentence where their files are damaged. Asked
    for when the tab is opened: nobody else waits for them."""
    try:
        return {"kept": KEPT + machine_view.kept(kept_probes())}
    except QuantlabError as error:
        return {"kept": banner(str(error))}


def _build_probe(services: Services, tab: gr.Tab) -> None:
    labels = machine_view.CAPABILITY_LABELS
    with gr.Column(elem_classes="ql-to-probe"):
        gr.HTML(PROBE, apply_default_css=False)
        with gr.Row(elem_classes="ql-probe-controls"):
            component = gr.Radio(
                [(label, name) for name, label in machine_view.COMPONENT_LABELS.items()],
                value="transformer",
                label="Part of the pipeline",
            )
            schemes = gr.Dropdown(
                schemes_here(),
                value=[],
                multiselect=True,
                label="Schemes",
                info="none chosen: all that can be tried here",
            )
        capabilities = gr.CheckboxGroup(
            [(f"{labels[name]} (≤ {LIMITS_S[name]:g} s)", name) for name in CAPABILITIES],
            value=[name for name in CAPABILITIES if name != "compile"],
            label="Capabilities, and how long each may take",
            elem_classes="ql-needs",
        )
        fresh = gr.Checkbox(False, label="Measure again what is known")
        with gr.Row():
            start = gr.Button("Probe", variant="primary", elem_id="ql-probe", min_width=120)
            stop = gr.Button("Stop", elem_id="ql-probe-stop", visible=HIDDEN, min_width=120)
    asked = {
        "component": component,
        "schemes": schemes,
        "capabilities": capabilities,
        "fresh": fresh,
    }
    told = {
        "progress": gr.HTML("", elem_id="ql-probe-progress", apply_default_css=False),
        "results": gr.HTML(
            "",
            elem_id="ql-probe-results",
            apply_default_css=False,
            js_on_load=script("later.js"),
        ),
        "start": start,
        "stop": stop,
    }
    _wire(services, tab, asked, told)


def _wire(services: Services, tab: gr.Tab, asked: Parts, told: Parts) -> None:
    results, progress_bar = only(told, "results"), only(told, "progress")
    wire(tab.select, remember, services, {}, results, **QUIET)
    part, lists = only(asked, "component"), only(asked, "schemes", "capabilities")
    wire(asked["component"].input, of_component, services, part, lists, **QUIET)
    waiting = wire(told["start"].click, wait, services, {}, told, **QUIET)
    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    options["concurrency_limit"] = None  # it waits for its turn by itself
    wire(waiting.then, run, services, asked, told, **options)
    wire(told["stop"].click, stop, services, {}, progress_bar, **QUIET)


def look(call: Call) -> Updates:
    """What this machine is."""
    try:
        return {"facts": machine_view.machine(*call.services.runner.machine())}
    except Unavailable as error:
        return {"facts": f'<p class="ql-hint">{escape(str(error))}</p>'}


def remember(call: Call) -> Updates:
    """What was measured here before and still holds; nothing changes while a probe is shown."""
    if call.services.jobs.busy(_session(call)):
        return {}
    try:
        parts = machine_view.COMPONENT_LABELS
        known = [cell for name in parts for cell in _kept(name)]
    except QuantlabError as error:
        return {"results": banner(str(error))}
    return {"results": machine_view.cells(known)}


def _kept(component: str) -> list[Probed]:
    """Libraries are asked when somebody probes, not whenever somebody looks."""
    return ProbeRun(ProbeRequest(component), asks_imports=False).known


def _session(call: Call) -> str:
    """A visitor's probe is a job beside their comparison, with a Stop of its own."""
    return f"probe {call.session}"


def of_component(call: Call) -> Updates:
    """The schemes and capabilities that go with a part of the pipeline."""
    component = call.given["component"]
    able = CAPABILITIES if component == "transformer" else ON_ENCODERS
    labels = machine_view.CAPABILITY_LABELS
    return {
        "schemes": gr.update(choices=schemes_here(component), value=[]),
        "capabilities": gr.update(
            choices=[(f"{labels[name]} (≤ {LIMITS_S[name]:g} s)", name) for name in able],
            value=[name for name in able if name != "compile"],
        ),
    }


def wait(call: Call) -> Updates:
    """The page until the probe's turn comes."""
    text = "Waiting for what is under way" if len(call.services.jobs) else "Starting"
    button = gr.update(interactive=False, value="Probing")
    return {"progress": progress(text, 0), "start": button}


IDLE = {
    "start": gr.update(interactive=True, value="Probe"),
    "stop": gr.update(visible=HIDDEN),
}
BUSY = {
    "start": gr.update(interactive=False, value="Probing"),
    "stop": gr.update(visible=True),
}


async def run(call: Call) -> AsyncIterator[Updates]:
    """Wait for a turn, probe and stream what changes.

    A comparison and a probe would spoil each other's figures: they wait in one line.
    """
    given, jobs = call.given, call.services.jobs
    wanted = tuple(name for name in CAPABILITIES if name in (given["capabilities"] or ()))
    if not wanted:
        yield {"progress": banner("Choose at least one capability."), **IDLE}
        return
    schemes = tuple(given["schemes"] or ())
    asked = ProbeRequest(given["component"], schemes, wanted, bool(given["fresh"]))
    try:
        token, _ = jobs.queue(_session(call), visitor_of(call.request, call.services))
        async for _ in jobs.turn(token):
            if not heard():
                jobs.end(token)
        stop_signal = jobs.start(token)
        if stop_signal is None:
            return
        try:
            async for each in _streamed(asked, stop_signal):
                yield each
        finally:
            stop_signal.set()
            jobs.end(token)
    except QuantlabError as error:
        yield {"progress": banner(str(error)), **IDLE}


async def _streamed(asked: ProbeRequest, stop_signal: threading.Event) -> AsyncIterator[Updates]:
    shown = -1
    async for told in while_heard(probing(asked, stop_signal), stop_signal):
        updates = {"progress": _progress(told), **(IDLE if told.ended else BUSY)}
        if len(told.cells) != shown:
            updates["results"] = machine_view.cells(told.cells)
            shown = len(told.cells)
        yield updates


def _progress(told: Told) -> str:
    count = min(len(told.cells), told.total)
    place = f"{count} of {told.total} cells"
    if told.ended:
        ending = "Stopped; what was measured is kept." if told.stopped else "Done."
        reused = f"{told.reused}." if told.reused else ""
        return progress(f"{place}. {ending} {reused}".strip())
    doing = "Stopping" if told.stopped else f"{told.doing}, for {told.doing_s:.0f} s"
    text = f"{place}, {doing}" if told.total else doing
    text += f". {told.reused}" if told.reused else ""
    return progress(text, count / max(told.total, 1))


def stop(call: Call) -> Updates:
    """End this visitor's probe, and nobody else's. That it stops is told by the probe's own stream:
    what came beside it could come after its last word."""
    call.services.jobs.stop(_session(call))
    return {}
