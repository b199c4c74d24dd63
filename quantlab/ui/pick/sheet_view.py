"""What the sheet of a scheme's claims shows beside them: what was measured, and a script."""

from __future__ import annotations

from quantlab.errors import CatalogError
from quantlab.lab.script.language_model import llm_snippet, scheme_of
from quantlab.record.probes import kept_probes
from quantlab.ui.compare.stage.view import take_box
from quantlab.ui.machine.view import measured_of

__all__ = ["beside"]


def beside(key: str) -> str:
    """For a scheme or a method: the kept probe's cells, and a language model's script; or nothing.

    An unknown key gives nothing, since it comes from the browser.
    """
    try:
        measured = measured_of(key, kept_probes())
    except CatalogError:  # the tab "This server" says so
        measured = ""
    return measured + _script(key)


def _script(key: str) -> str:
    scheme = scheme_of(key)
    if scheme is None:
        return ""
    name = f"Code: a language model with {scheme.name}, through transformers"
    return take_box(name, llm_snippet(scheme.id))
