"""The page for programs: named endpoints of its API, and tools for agents that speak MCP.

The documents are those of the command line's ``--json``. Each function's text is what a caller
reads; types are read at run time, which is why annotations are not postponed here.
"""

import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any

import gradio as gr

from quantlab.catalog.answer.choices import propose as catalog_propose
from quantlab.catalog.answer.pick import recommend as catalog_recommend
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.gpus import choose_one
from quantlab.catalog.time import NOTHING
from quantlab.errors import InputError, StoreError
from quantlab.lab.check.check import check_text
from quantlab.lab.check.code.text import LONGEST
from quantlab.record.documents import choice_document, predictions, result_document
from quantlab.record.known import known_of_card
from quantlab.record.link import result_id, result_url, to_url
from quantlab.ui.compare.run import visitor_of
from quantlab.ui.compare.share import base_url
from quantlab.ui.guard.leaving import call_of
from quantlab.ui.programs import run as api_run
from quantlab.ui.programs.input import number, one_sentence, text, texts
from quantlab.ui.programs.settings import checked, takes_settings
from quantlab.ui.services import Services
from quantlab.words.comparison import Comparison
from quantlab.words.numbers import whole

__all__ = [
    "ENDPOINTS", "check", "compare", "link", "predict", "propose", "recommend", "register",
    "result",
]  # fmt: skip


def recommend(
    services: Services,
    hardware: str | None = None,
    bits: float | None = None,
    needs: list[str] | None = None,
    library: str | None = None,
    model: str | None = None,
    memory_gib: float | None = None,
    gpu: str | None = None,
) -> list[dict[str, Any]]:
    """Say which quantization methods suit a machine, a bit width and needs, best first, the
    rejected ones included, each with its verdict, evidence, predicted bytes and reasons.

    Args:
        hardware: cpu, cuda, rocm, metal or intel; any of them if left out.
        bits: Bit width of the weights, for example 4.
        needs: Any of compile, peft, lora, qat, serializable, on-the-fly, speed.
        library: transformers or diffusers.
        model: flux-mini, flux1-dev, flux1-schnell or flux2-klein-4b; fills in bytes.
        memory_gib: Memory of the device in GiB, held against the predicted peak of the model.
        gpu: A GPU's id instead of hardware and memory_gib, one of those that predict names.

    Returns:
        A list of objects: method, scheme, verdict, evidence, bytes, reasons, here.
    """
    with one_sentence():
        rows = catalog_recommend(
            hardware=_maybe("hardware", hardware),
            bits=number("bits", bits),
            needs=texts("needs", needs),
            library=_maybe("library", library),
            model=_maybe("model", model),
            memory_gib=number("memory_gib", memory_gib),
            gpu=_maybe("gpu", gpu),
            catalog=services.catalog,
        )
        return [row.as_dict() for row in rows]


def propose(
    services: Services,
    model: str,
    gpu: str | None = None,
    hardware: str | None = None,
    memory_gib: float | None = None,
    ram_gib: float | None = None,
    bits: float | None = None,
    needs: list[str] | None = None,
    width: int | None = None,
    height: int | None = None,
    batch: int | None = None,
    references: int | None = None,
    steps: int | None = None,
) -> list[dict[str, Any]]:
    """Say which plan to take on a device: at most three, the fastest whose picture stays close,
    the best picture and the smallest, each with memory, seconds, loss, reasons and a script.

    Args:
        model: A model's id, such as flux1-dev or flux2-klein-4b.
        gpu: A card as people call it, such as rtx-3060-12gb or 4060ti 16gb.
        hardware: Instead of gpu, with memory_gib: cuda, rocm, metal, intel or cpu.
        memory_gib: Memory of the device in GiB.
        ram_gib: The host's memory in GiB; not checked if left out.
        bits: Bit width of the denoiser's weights, for example 4.
        needs: What its scheme must have, such as compile, lora or speed.
        width: Pixels; the model's default if left out.
        height: Pixels; the model's default if left out.
        batch: Images at once.
        references: Pictures to go by.
        steps: Denoising steps; the model's default if left out.

    Returns:
        A list of objects, empty where nothing fits: labels, plan, placement, peak_bytes,
        host_bytes, download_bytes, image_s, image_s_why, loss, reasons, install, snippet.
    """
    sizes = {"width": width, "height": height, "steps": steps}
    with one_sentence():
        picture: dict[str, Any] = {name: _whole(name, value) for name, value in sizes.items()}
        card, kept = _maybe("gpu", gpu), (services.catalog, services.store)
        known = known_of_card(choose_one(card), *kept) if card else NOTHING
        answer = catalog_propose(
            model=text("model", model),
            gpu=card,
            hardware=_maybe("hardware", hardware),
            memory_gib=number("memory_gib", memory_gib),
            ram_gib=number("ram_gib", ram_gib),
            bits=number("bits", bits),
            needs=texts("needs", needs),
            batch=_whole("batch", batch),
            references=_whole("references", references),
            catalog=services.catalog,
            known=known,
            **picture,
        )
        return [choice_document(c, model, services.catalog, **picture) for c in answer.choices]


@takes_settings(lambda row: row.sized)
def predict(
    services: Services, plans: list[str], model: str = "flux1-dev", **given: Any
) -> list[dict[str, Any]]:
    """Predict the bytes that plans of a model take (weights, peak, host memory, download) and
    which GPUs they fit; nothing is downloaded and nothing is run.

    Args:
        plans: One to six plans, such as bnb-nf4 or transformer=bnb-nf4,text_encoder_2=quanto-int8.
        model: flux-mini, flux1-dev, flux1-schnell or flux2-klein-4b.

    Returns:
        For each plan its component, total, peak, host and download bytes, and fits by GPU.
    """
    with one_sentence():
        comparison = _comparison(services, plans, model, {"prompt": "", **given})
        return [row.as_dict() for row in predictions(comparison, services.catalog)]


@takes_settings()
async def compare(
    services: Services,
    request: gr.Request,
    plans: list[str],
    model: str = "flux-mini",
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
        comparison = _comparison(services, plans, model, given)
        session = call_of(request.headers) or getattr(request, "session_hash", None) or "none"
        who = visitor_of(request, services)
        document = await api_run.run(services, comparison, str(session), who)
        return {**document, "link": to_url(base_url(request, services), comparison)}


@takes_settings()
def link(
    services: Services,
    request: gr.Request,
    plans: list[str],
    model: str = "flux-mini",
    **given: Any,
) -> dict[str, Any]:
    """Give the link that opens this page on a comparison and what it holds of it; nothing is run.

    Args:
        plans: One to six plans, such as fp32, bnb-nf4; the first is the reference.
        model: flux-mini, flux1-dev, flux1-schnell or flux2-klein-4b.

    Returns:
        An object: url.
    """
    with one_sentence():
        comparison = _comparison(services, plans, model, given)
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
        card = _maybe("gpu", gpu)
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
        for block, name in zip(made.inputs, inspect.signature(bound).parameters, strict=False):
            if name == "code":
                block.max_length = LONGEST  # the page holds all other texts to a prompt's length


def _comparison(
    services: Services, plans: object, model: object, given: dict[str, Any]
) -> Comparison:
    return make_comparison(
        plans=texts("plans", plans),
        model=text("model", model),
        catalog=services.catalog,
        **checked(given),
    )


def _whole(part: str, value: object) -> int | None:
    found = number(part, value)
    return None if found is None else whole(part, found, 1, 2**16)


def _maybe(part: str, value: object) -> str | None:
    return None if value is None else text(part, value)


def _result_id(value: object) -> str:
    try:
        found = result_id([("r", text("id", value))])
    except InputError:
        found = None
    if found is None:
        raise InputError("id", "is not the id of a result; compare gives them in results")
    return found
