"""Behind Compare: tune a mix for a budget of bits on one's own machine, and try it as a plan.

It takes minutes of the whole machine and what it finds stays on it; a page that others reach has
none of this. It waits in one line with comparisons and probes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from quantlab.catalog.own.mixes import Growing, mixes_folder, own_mix
from quantlab.catalog.reach import why_not
from quantlab.errors import InputError, QuantlabError, StoreError
from quantlab.lab.runners.runner import OwnRunner
from quantlab.lab.tune.question import PROMPTS, Question, question
from quantlab.ui.compare.edit import lay_out
from quantlab.ui.compare.plans import Column
from quantlab.ui.compare.stage.view import banner, progress
from quantlab.ui.compare.wiring import controls, layout
from quantlab.ui.fold import fold
from quantlab.ui.listening import heard, while_heard
from quantlab.ui.named import QUIET, Call, Parts, Updates, only, wire
from quantlab.ui.services import Services
from quantlab.ui.state import columns_of
from quantlab.ui.theme import HIDDEN
from quantlab.ui.tuning import view
from quantlab.ui.tuning.working import Told, tuning
from quantlab.words.comparison import MAX_PLANS

__all__ = ["build_tuning", "may_tune", "put", "run", "stop"]

ABOUT = (
    '<p class="ql-hint">Finds which layers bear few bits and which need more, for the model, size '
    "and steps above, and holds the mix beside uniform plans on prompts that it was not tuned on. "
    "Takes minutes; whoever stops it goes on where it was.</p>"
)
IDLE = {
    "tune": gr.update(interactive=True, value="Tune"),
    "tune-stop": gr.update(visible=HIDDEN),
}
BUSY = {
    "tune": gr.update(interactive=False, value="Tuning"),
    "tune-stop": gr.update(visible=True),
}
SIZES = ("steps", "width", "height")


def may_tune(services: Services) -> bool:
    """True where the page runs on the visitor's own machine and its catalogue can grow."""
    local = isinstance(services.runner, OwnRunner) and not services.public
    return local and isinstance(services.catalog.schemes, Growing)


def build_tuning(services: Services, parts: Parts) -> None:
    """Lay the section out and wire it; ``parts`` are those of the Compare tab."""
    able = [method for method in services.catalog.methods.values() if method.mixing]
    with fold("Tune a mix of bits for this model", "ql-tuning"):
        gr.HTML(ABOUT, apply_default_css=False)
        with gr.Row():
            method = gr.Dropdown(
                [(each.name, each.id) for each in able],
                value=next((each.id for each in able), None),
                label="Library whose schemes are mixed",
            )
            bits = gr.Slider(2.5, 9.0, 4.5, step=0.1, label="Stored bits of a weight, scales too")
            count = gr.Slider(2, 16, 8, step=1, label="Pictures to tune on, as many to judge by")
        with gr.Row():
            start = gr.Button("Tune", elem_id="ql-tune", min_width=120)
            end = gr.Button("Stop", elem_id="ql-tune-stop", visible=HIDDEN, min_width=120)
        told = {
            "tune-progress": gr.HTML("", elem_id="ql-tune-progress", apply_default_css=False),
            "tune-result": gr.HTML("", elem_id="ql-tune-result", apply_default_css=False),
            "tune": start,
            "tune-stop": end,
            "tuned": gr.State(""),
        }
    asked = {"method": method, "bits": bits, "count": count, **only(parts, "model", *SIZES)}
    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    options["concurrency_limit"] = None  # it waits for its turn by itself
    wire(start.click, run, services, asked, told, **options)
    wire(end.click, stop, services, {}, only(told, "tune-progress"), **QUIET)
    inputs = {**only(told, "tuned"), **only(parts, "shown"), **controls(parts)}
    wire(told["tuned"].change, put, services, inputs, layout(parts), **QUIET)


async def run(call: Call) -> AsyncIterator[Updates]:
    """Wait for a turn, tune, and stream how far it is; at the end the mix is one of the schemes."""
    services, jobs = call.services, call.services.jobs
    try:
        asked = _question(call)
        services.admit(asked.tuning[0])
        text = "Waiting for what is under way" if len(jobs) else "Starting"
        token, _ = jobs.queue(_session(call))
        yield {"tune-progress": progress(text)}
        async for _ in jobs.turn(token):
            if not heard():
                jobs.end(token)
        stop_signal = jobs.start(token)
        if stop_signal is None:
            return
        try:
            assert isinstance(services.runner, OwnRunner)  # as may_tune says
            work = tuning(asked, services.catalog, stop_signal, services.runner.alone)
            async for told in while_heard(work, stop_signal):
                yield _updates(told, asked, services)
        finally:
            stop_signal.set()
            jobs.end(token)
    except QuantlabError as error:
        yield {"tune-progress": banner(str(error)), **IDLE}


def _session(call: Call) -> str:
    """A tuning is a job beside the visitor's comparison, with a Stop of its own."""
    return f"tune {call.session}"


def _question(call: Call) -> Question:
    """What the controls ask.

    Raises:
        InputError: names the control that is wrong.
        StoreError: there is no folder for what is measured.
    """
    given, catalog = call.given, call.services.catalog
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    prompts = [line for line in lines if line and line[0] != "#"]
    bits, count = float(given["bits"]), int(given["count"])
    method, model = str(given["method"]), str(given["model"])
    if model not in catalog.models:
        raise InputError("model", "choose one of the list")
    name = f"{model}-{method}-{bits:g}-{count}".replace(".", "_").replace("/", "-")
    settings = {size: given[size] for size in SIZES}
    out = mixes_folder() / name
    asked = question(
        model, method, bits, prompts[: 2 * count], out, catalog, most=count, **settings
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{out} cannot be made: {error.strerror}") from None
    return asked


def _updates(told: Told, asked: Question, services: Services) -> Updates:
    if told.report is not None:
        mix = own_mix(asked.out, services.catalog)
        schemes = services.catalog.schemes
        assert isinstance(schemes, Growing)
        schemes.add(mix)
        said = f"Done; {mix.id} is one of the plans now."
        result = view.outcome(told.report, str(asked.out))
        return {"tune-progress": progress(said), "tune-result": result, "tuned": mix.id, **IDLE}
    if told.ended:
        return {"tune-progress": progress("Stopped; what was measured is kept."), **IDLE}
    minutes, seconds = divmod(round(told.left_s), 60)
    left = f"; about {minutes}:{seconds:02} left" if told.left_s else ""
    doing = "Stopping" if told.stopped else f"{told.doing}{left}"
    return {"tune-progress": progress(doing), **BUSY}


def stop(call: Call) -> Updates:
    """End this visitor's tuning, and nobody else's. That it stops is told by the tuning's own
    stream: what came beside it could come after its last word."""
    call.services.jobs.stop(_session(call))
    return {}


def put(call: Call) -> Updates:
    """The mix as one more plan, or instead of the last, where it goes with the model."""
    services, scheme = call.services, call.services.catalog.schemes.get(call.given["tuned"])
    model = services.catalog.models.get(str(call.given["model"]))
    if scheme is None or model is None:
        return {}
    part, columns = model.components[0], list(columns_of(call.given))
    if not why_not(scheme, part.library, part.cls, part.table) and Column(scheme.id) not in columns:
        columns = [*columns[: MAX_PLANS - 1], Column(scheme.id)]
    return lay_out(columns, call.given["shown"], model, services, choose_anew=True)
