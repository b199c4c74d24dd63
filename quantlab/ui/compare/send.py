"""Results that were worse than predicted, as a file: what ``quantlab export --id`` writes."""

from __future__ import annotations

import gradio as gr

from quantlab.catalog.answer.surprise import surprises
from quantlab.catalog.table import Catalog
from quantlab.errors import QuantlabError, StoreError
from quantlab.lab.runners.runner import Machine
from quantlab.record.results.file import named, pieces
from quantlab.ui.download import named as today
from quantlab.ui.download import offer
from quantlab.ui.named import Call
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome

__all__ = ["measured_rows", "worse_than_predicted"]


def worse_than_predicted(
    asked: Comparison, outcome: Outcome, machine: Machine, catalog: Catalog
) -> tuple[str, ...]:
    """What of ``outcome`` was slower, larger or out of memory on its card, in sentences."""
    return tuple(one.text for one in surprises(asked, outcome, machine[0], catalog))


def measured_rows(call: Call) -> str:
    """A file of the results on the page that were worse than predicted, without pictures.

    Raises:
        gr.Error: they are not kept, or not any more.
    """
    ids = [item.id for _, item in call.given["shown"].results if item.worse and item.id]
    store = call.services.store
    try:
        if store is None:
            raise StoreError("This page keeps no results.")
        text = "".join(pieces(named(store, ids, images=False)))
    except QuantlabError as error:
        raise gr.Error(str(error), print_exception=False) from error
    return offer(today("rows", "json"), text.encode())
