"""What a run asks of a visitor's quota, said before it starts. Nothing where runs cost none."""

from __future__ import annotations

from html import escape

from quantlab.errors import QuantlabError
from quantlab.lab.runners.zerogpu_cost import who_has_less
from quantlab.ui.named import Call, Updates
from quantlab.ui.services import Services
from quantlab.ui.state import Values, read_comparison

__all__ = ["cost", "cost_note"]


def cost(call: Call) -> Updates:
    """``cost_note`` for what the controls say now."""
    return {"cost": cost_note(call.services, call.given)}


def cost_note(services: Services, values: Values) -> str:
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
    elif less := who_has_less(seconds):
        text += f" A visitor {less[0]} has {less[1]} a day: it is refused there."
    return f'<p class="ql-cost" role="status">{escape(text)}</p>'
