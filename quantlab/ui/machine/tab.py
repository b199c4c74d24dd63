"""The tab "This machine": what it is, what was measured on it, and the kept probe beside it.

A machine of one's own can be probed from here; where the page is public, its button is absent.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import escape
from types import MethodType
from typing import Any

import gradio as gr

from quantlab.errors import QuantlabError, Unavailable
from quantlab.lab.probe.probe import CAPABILITIES, LIMITS_S
from quantlab.lab.probe.scope import ON_ENCODERS, schemes_here
from quantlab.lab.runners.local import LocalRunner
from quantlab.record.probe_run import ProbeRequest, ProbeRun
from quantlab.record.probes import kept_probes
from quantlab.ui.compare.run import session_of
from quantlab.ui.compare.tab import QUIET
from quantlab.ui.compare.view import banner, progress
from quantlab.ui.listening import heard, while_heard
from quantlab.ui.machine import view as machine_view
from quantlab.ui.machine.probing import Told, probing
from quantlab.ui.services import Services
from quantlab.ui.theme import HIDDEN

__all__ = ["build_machine", "may_probe"]

Update = Any
READING = '<p class="ql-hint">Reading what this machine is…</p>'
PROBE = (
    '<h2 class="ql-section">Probe this machine</h2><p class="ql-hint">Each capability is tried for '
    "real on flux-mini, in a process of its own with a limit of time and memory. A crash is a "
    "cell like any other. What has not changed since the last probe is not measured again.</p>"
)
PUBLIC = (
    '<p class="ql-hint">This page is public, so nothing is probed from it. '
    "<code>python -m quantlab probe</code> probes a machine of your own, and so does this tab of a "
    "page that you start yourself.</p>"
)
KEPT = (
    '<h2 class="ql-section">The project’s test machine (CI)</h2><p class="ql-hint">A probe kept '
    "with the project: documented beside measured.</p>"
)


@dataclass(frozen=True)
class _Parts:
    """What the handlers fill."""

    progress: gr.HTML
    results: gr.HTML
    start: gr.Button
    stop: gr.Button


def may_probe(services: Services) -> bool:
    """True where the page runs on the visitor's own machine, or the operator allowed it."""
    local = isinstance(services.runner, LocalRunner)
    return local and (services.allow_probe or not services.public)


def build_machine(services: Services, tab: gr.Tab) -> None:
    """Lay the tab out and wire it; ``tab`` is the one that it stands in."""
    facts = gr.HTML(READING, elem_id="ql-machine", apply_default_css=False)
    tab.select(MethodType(look, services), None, facts, **QUIET)
    if may_probe(services):
        _build_probe(services, tab)
    else:
        gr.HTML(PUBLIC, elem_id="ql-probe-public", apply_default_css=False)
    gr.HTML(KEPT + kept_html(), elem_id="ql-kept", apply_default_css=False)


def kept_html() -> str:
    """The kept probes, or a sentence where their files are damaged."""
    try:
        return machine_view.kept(kept_probes())
    except QuantlabError as error:
        return banner(str(error))


def _build_probe(services: Services, tab: gr.Tab) -> None:
    gr.HTML(PROBE, apply_default_css=False)
    labels = machine_view.CAPABILITY_LABELS
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
    bar = gr.HTML("", elem_id="ql-probe-progress", apply_default_css=False)
    results = gr.HTML("", elem_id="ql-probe-results", apply_default_css=False)
    parts = _Parts(bar, results, start, stop)
    _wire(services, tab, parts, (component, schemes, capabilities, fresh))


def _wire(services: Services, tab: gr.Tab, parts: _Parts, controls: tuple[Any, ...]) -> None:
    outputs = [parts.progress, parts.results, parts.start, parts.stop]
    tab.select(MethodType(remember, services), None, parts.results, **QUIET)
    component, schemes, capabilities, _ = controls
    component.input(of_component, component, [schemes, capabilities], **QUIET)
    parts.start.click(MethodType(wait, services), None, outputs, **QUIET).then(
        MethodType(run, services),
        list(controls),
        outputs,
        concurrency_limit=None,  # it waits for its turn by itself
        show_progress="hidden",
        api_visibility="private",
    )
    parts.stop.click(MethodType(stop, services), None, parts.progress, **QUIET)


def look(services: Services) -> str:
    """What this machine is."""
    try:
        return machine_view.machine(*services.runner.machine())
    except Unavailable as error:
        return f'<p class="ql-hint">{escape(str(error))}</p>'


def remember(services: Services, request: gr.Request) -> Update:
    """What was measured here before and still holds; nothing changes while a probe is shown."""
    if services.jobs.busy(_session(request)):
        return gr.skip()
    try:
        parts = machine_view.COMPONENT_LABELS
        known = [cell for name in parts for cell in ProbeRun(ProbeRequest(name)).known]
    except QuantlabError as error:
        return banner(str(error))
    return machine_view.cells(known)


def _session(request: gr.Request) -> str:
    """A visitor's probe is a job beside their comparison, with a Stop of its own."""
    return f"probe {session_of(request)}"


def of_component(component: str) -> list[Update]:
    """The schemes and capabilities that go with a part of the pipeline."""
    able = CAPABILITIES if component == "transformer" else ON_ENCODERS
    labels = machine_view.CAPABILITY_LABELS
    return [
        gr.update(choices=schemes_here(component), value=[]),
        gr.update(
            choices=[(f"{labels[name]} (≤ {LIMITS_S[name]:g} s)", name) for name in able],
            value=[name for name in able if name != "compile"],
        ),
    ]


def wait(services: Services) -> list[Update]:
    """The page until the probe's turn comes."""
    text = "Waiting for what is under way" if len(services.jobs) else "Starting"
    button = gr.update(interactive=False, value="Probing")
    return [progress(text, 0), gr.skip(), button, gr.skip()]


async def run(
    services: Services,
    request: gr.Request,
    component: str,
    schemes: list[str],
    capabilities: list[str],
    fresh: bool,
) -> AsyncIterator[list[Update]]:
    """Wait for a turn, probe and stream: progress, results, start button, stop button.

    A comparison and a probe would spoil each other's figures: they wait in one line.
    """
    idle = [gr.update(interactive=True, value="Probe"), gr.update(visible=HIDDEN)]
    wanted = tuple(name for name in CAPABILITIES if name in (capabilities or ()))
    if not wanted:
        yield [banner("Choose at least one capability."), gr.skip(), *idle]
        return
    asked = ProbeRequest(component, tuple(schemes or ()), wanted, bool(fresh))
    try:
        token, _ = services.jobs.queue(_session(request))
        async for _ in services.jobs.turn(token):
            if not heard():
                services.jobs.end(token)
        stop_signal = services.jobs.start(token)
        if stop_signal is None:
            return
        try:
            async for each in _streamed(asked, stop_signal, idle):
                yield each
        finally:
            stop_signal.set()
            services.jobs.end(token)
    except QuantlabError as error:
        yield [banner(str(error)), gr.skip(), *idle]


async def _streamed(
    asked: ProbeRequest, stop_signal: threading.Event, idle: list[Update]
) -> AsyncIterator[list[Update]]:
    busy = [gr.update(interactive=False, value="Probing"), gr.update(visible=True)]
    shown = -1
    async for told in while_heard(probing(asked, stop_signal), stop_signal):
        new = len(told.cells) != shown
        shown = len(told.cells)
        table = machine_view.cells(told.cells) if new else gr.skip()
        yield [_progress(told), table, *(idle if told.ended else busy)]


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


def stop(services: Services, request: gr.Request) -> Update:
    """End this visitor's probe, and nobody else's."""
    return progress("Stopping", 0) if services.jobs.stop(_session(request)) else gr.skip()
