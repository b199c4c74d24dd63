"""What a run asks of a visitor's quota, said before it starts. Nothing where runs cost none."""

from __future__ import annotations

from html import escape
from typing import Any

from quantlab.errors import QuantlabError
from quantlab.ui.services import Services
from quantlab.ui.state import read_comparison

__all__ = ["cost_note"]


def cost_note(services: Services, *values: Any) -> str:
    """The line beside Run for what the controls say; empty where they say nothing valid."""
    try:
        seconds = services.runner.cost_s(read_comparison(values, services.catalog))
    except QuantlabError:  # Run says what is wrong
        return ""
    if seconds is None:
        return ""
    text = f"About {seconds:.0f} quota seconds of ZeroGPU."
    if not seconds:
        text = "No quota of ZeroGPU: none of these plans can run there."
    return f'<p class="ql-cost" role="status">{escape(text)}</p>'
