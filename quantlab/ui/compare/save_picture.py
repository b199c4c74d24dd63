"""What is on the page as files to post: one picture of the comparison, and a plot of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import gradio as gr

from quantlab.errors import StoreError, Unavailable
from quantlab.record.link import to_url
from quantlab.record.picture import Panel, draw
from quantlab.ui.compare.share import base_url, groups_of, stored
from quantlab.ui.compare.stage.view import origin
from quantlab.ui.download import named, offer
from quantlab.ui.named import Call
from quantlab.ui.results.plot import drawing
from quantlab.ui.services import Services
from quantlab.ui.state import Result, Shown

__all__ = ["save_picture", "save_plot"]


def save_picture(call: Call) -> str:
    """A file with the picture.

    Raises:
        gr.Error: there is nothing to show yet.
    """
    services, shown = call.services, call.given["shown"]
    comparison = shown.comparison
    if comparison is None or not shown.results:
        raise gr.Error("There is nothing to save yet; press Run first.", print_exception=False)
    panels = [_panel(plan, shown, services) for plan in map(str, comparison.plans)]
    link = to_url(base_url(call.request, services), comparison)
    return offer(named("comparison", "png"), draw(comparison, panels, link))


def save_plot(call: Call) -> str:
    """A file with the plot of what is shown: closeness against memory, as SVG.

    Raises:
        gr.Error: there is nothing to draw yet.
    """
    services, shown = call.services, call.given["shown"]
    try:
        found = [drawing(group) for group in groups_of(shown, services)]
    except StoreError as error:
        raise gr.Error(str(error), print_exception=False) from error
    svg = next((each for each in found if each), "")
    if not svg:
        raise gr.Error("A plot takes two plans with results that are kept.", print_exception=False)
    return offer(named("plot", "svg"), svg.encode())


def _panel(plan: str, shown: Shown, services: Services) -> Panel:
    result = shown.get(plan)
    if result is None:
        return Panel(plan, None)
    if not result.origin:
        result = replace(result, origin=_origin(plan, result, shown, services))
    return Panel(plan, result.outcome, result.png, result.origin)


def _origin(plan: str, result: Result, shown: Shown, services: Services) -> str:
    """Where and when what was just measured was: as it was kept, else this machine, now."""
    assert shown.comparison is not None
    try:
        kept = stored(shown.comparison, services).get(plan)
        if kept is not None and kept.outcome.latency_s == result.outcome.latency_s:
            return kept.origin
        device, versions = services.runner.machine()
    except (StoreError, Unavailable):
        return ""
    return origin(device, versions, datetime.now(UTC).isoformat(timespec="seconds"))
