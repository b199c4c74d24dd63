"""Links on the page: made for what the controls say, opened when the page is.

Opening a link never starts a run; it shows what the store holds.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import gradio as gr

from quantlab.errors import InputError
from quantlab.record.link import from_query, result_id, to_url
from quantlab.record.store.store import Stored
from quantlab.ui.compare.view import link_box, origin
from quantlab.ui.services import Services
from quantlab.ui.state import Result, Shown, read_comparison
from quantlab.words.comparison import MAX_PLANS, Comparison

__all__ = [
    "base_url",
    "link_of",
    "link_to",
    "opened",
    "result",
    "stored",
]

log = logging.getLogger(__name__)


def base_url(request: gr.Request | None, services: Services) -> str:
    """Where a link leads: the Space's own page, a set address, or the one the visitor used."""
    space = os.environ.get("SPACE_ID")
    if services.base_url:
        return services.base_url
    if space:
        return f"https://huggingface.co/spaces/{space}"
    headers = request.headers if request is not None else {}
    origin_header = headers.get("referer") or headers.get("origin") or ""
    if origin_header.startswith(("http://", "https://")):
        return str(origin_header).partition("?")[0].partition("#")[0]
    return f"http://{headers.get('host', '127.0.0.1:7860')}/"


def link_to(comparison: Comparison, request: gr.Request | None, services: Services) -> str:
    """The link box for ``comparison``."""
    return link_box(to_url(base_url(request, services), comparison))


def link_of(services: Services, request: gr.Request, *values: Any) -> list[Any]:
    """The link box for what the controls say now, or why there is none; closes the code boxes.

    A script that was opened before the change would no longer be the one of its column.
    """
    closed = [gr.update(open=False) for _ in range(MAX_PLANS)]
    try:
        comparison = read_comparison(values, services.catalog)
    except InputError as error:
        return [link_box("", f"No link yet. {error}."), *closed]
    return [link_to(comparison, request, services), *closed]


def opened(request: gr.Request | None, services: Services) -> Shown | None:
    """What the page's address asks for, with stored results; None where it asks for nothing.

    Raises:
        InputError: the link is broken; the message names the part.
        StoreError: the results cannot be read.
    """
    query = _query(request)
    wanted = result_id(query)
    if wanted is not None:
        return result(wanted, services)
    comparison = from_query(query, services.catalog)
    return None if comparison is None else stored(comparison, services)


def result(wanted: str, services: Services) -> Shown:
    """The comparison of the stored result of that id, with what else the store holds of it.

    Raises:
        InputError: it is not stored here.
        StoreError: the results cannot be read.
    """
    if services.store is None or (found := services.store.get(wanted)) is None:
        raise InputError("r", "this result is not stored here any more")
    shown = stored(found.comparison, services)
    where = _origin(found)
    return shown.put(found.plan, Result(found.outcome, found.image_png, where))


def _query(request: gr.Request | None) -> str:
    """The raw query, so that repeated keys and broken bytes are still to be seen."""
    inner = getattr(request, "request", None)
    return inner.url.query if inner is not None else ""


def stored(comparison: Comparison, services: Services) -> Shown:
    """``comparison`` with what the store holds of it.

    Raises:
        StoreError: the results cannot be read.
    """
    rows = services.store.find(comparison) if services.store is not None else []
    results = tuple(
        (
            row.plan,
            Result(row.outcome, row.image_png, _origin(row)),
        )
        for row in rows
    )
    return Shown(comparison, results)


def _origin(row: Stored) -> str:
    return origin(row.device, row.versions, row.measured_at, row.imported_at)
