"""The page for programs: named endpoints of its API, and tools for agents that speak MCP.

The documents are those of the command line's ``--json``. Each function's text is what a caller
reads; types are read at run time, which is why annotations are not postponed here.
"""

import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any

import gradio as gr

from quantlab.catalog.gpus import choose_one
from quantlab.errors import InputError, StoreError
from quantlab.lab.check.check import check_text
from quantlab.lab.check.code.text import LONGEST
from quantlab.record.documents import result_document
from quantlab.record.link import result_id, result_url, to_url
from quantlab.ui.compare.run import visitor_of
from quantlab.ui.compare.share import base_url
from quantlab.ui.programs import run as api_run
from quantlab.ui.programs.input import maybe, one_sentence, text
from quantlab.ui.programs.questions import comparison_of, predict, propose, recommend
from quantlab.ui.programs.settings import takes_settings
from quantlab.ui.services import Services
from quantlab.ui.visitors.leaving import call_of
from quantlab.words.comparison import SHIPPED

__all__ = [
    "ENDPOINTS", "check", "compare", "link", "predict", "propose", "recommend", "register",
    "result",
]  # fmt: skip


@takes_settings()
async def compare(
    services: Services,
    request: gr.Request,
    plans: list[str],
    model: str = SHIPPED,
    **given: Any,
) -> dict[str, Any]:
    """Run plans side by side on this page's machine and measure each: image, memory, latency, and
    distance from the first plan, the reference. Waits for its turn; takes seconds to minutes.

    Args:
        plans: One to six plans, such as fp32, bnb-nf4; the first is the reference.
        model: flux-mini ships with the page and draws one simple thing on a plain coloured
            background; larger models need a GPU.

    Returns:
        An object: comparison, device, versions, outcomes, results (their ids, stored) and link.
    """
    with one_sentence():
        comparison = comparison_of(services, plans, model, given)
        session = call_of(request.headers) or getattr(request, "session_hash", None) or "none"
        who = visitor_of(request, services)
        document = await api_run.run(services, comparison, str(session), who)
        return {**document, "link": to_url(base_url(request, services), comparison)}


@takes_settings()
def link(
    services: Services,
    request: gr.Request,
    plans: list[str],
    model: str = SHIPPED,
    **given: Any,
) -> dict[str, Any]:
    """Give the link that opens this page on a comparison and what it holds of it; nothing is run.

    Args:
        plans: One to six plans, such as fp32, bnb-nf4; the first is the reference.
        model: A model's id, such as flux-mini or flux3-klein.

    Returns:
        An object: url.
    """
    with one_sentence():
        comparison = comparison_of(services, plans, model, given)
        return {"url": to_url(base_url(request, services), comparison)}


def result(services: Services, request: gr.Request, id: str) -> dict[str, Any]:
    """Give a stored outcome as it was measured, with its image, comparison, device, library
    versions and date, and the link that opens this page on it.

    Args:
        id: The id of a result, from the results of compare or the r of a result link.

    Returns:
        An object: id, measured_at, comparison, device, versions, outcome, link.
    """
    with one_sentence():
        wanted = _result_id(id)
        if services.store is None:
            raise StoreError("This page keeps no results.")
        stored = services.store.get(wanted)
        if stored is None:
            raise InputError("id", f"no result {wanted} is stored here")
        document = result_document(stored)
        document["outcome"]["image"] = api_run.served(stored.image_png, stored.plan)
        return {**document, "link": result_url(base_url(request, services), wanted)}


def check(services: Services, code: str, gpu: str | None = None) -> dict[str, Any]:
    """Say what a piece of Python for diffusers or transformers really does with quantization, or
    what an error message means; the code is read and never run.

    Args:
        code: A script, a notebook, a fragment or an error message; 200 KB at most.
        gpu: A GPU's id; what fails there is found too, and where the plan is kept is told.

    Returns:
        An object: findings (file, line, severity, code, message, source, fix), plan, model, fixed,
        predicted.
    """
    with one_sentence():
        card = maybe("gpu", gpu)
        chosen = None if card is None else choose_one(card)
        given = text("code", code, LONGEST)
        return check_text(given, gpu=chosen, catalog=services.catalog).as_dict()


ENDPOINTS: tuple[Callable[..., Any], ...] = (
    recommend,
    propose,
    predict,
    check,
    compare,
    link,
    result,
)


def register(services: Services, page: gr.Blocks) -> None:
    """Offer ``ENDPOINTS`` to programs; to be called while ``page`` is being laid out.

    None of them waits in Gradio's queue: ``compare`` waits for its turn by itself.
    """
    for function in ENDPOINTS:
        bound = MethodType(function, services)
        gr.api(bound, api_name=function.__name__, concurrency_limit=None)
        made = list(page.fns.values())[-1]
        sent = inspect.signature(bound).parameters.values()
        names = [each.name for each in sent if each.annotation is not gr.Request]
        for block, name in zip(made.inputs, names, strict=True):
            # Which messages name. Its label, a place in the line, is drawn nowhere; a name would be
            # looked up among the browser's translations, which has words of its own for "code".
            block.argument = name
            if name == "code":
                block.max_length = LONGEST  # the page holds all other texts to a prompt's length


def _result_id(value: object) -> str:
    try:
        found = result_id([("r", text("id", value))])
    except InputError:
        found = None
    if found is None:
        raise InputError("id", "is not the id of a result; compare gives them in results")
    return found
