"""Links on the page: made for what the controls say, opened when the page is.

Opening a link never starts a run; it shows what the store holds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from html import escape

import gradio as gr

from quantlab.catalog.advice import beforehand
from quantlab.catalog.own.mixes import known_here_only
from quantlab.errors import InputError, StoreError
from quantlab.record.link import from_query, result_id, result_url, to_url
from quantlab.record.results.export import to_markdown
from quantlab.record.results.frame import told
from quantlab.record.results.grouping import groups
from quantlab.record.results.groups import Group
from quantlab.record.results.groups import table as together
from quantlab.record.store.retention import PIN_DAYS
from quantlab.record.store.store import Stored
from quantlab.ui.compare.send import worse_than_predicted
from quantlab.ui.compare.stage.board import picture
from quantlab.ui.compare.stage.view import banner, changed_bar, link_box, origin, take_box
from quantlab.ui.named import Call, Updates
from quantlab.ui.services import Services
from quantlab.ui.state import Result, Shown, read_comparison
from quantlab.ui.words import when
from quantlab.words.comparison import Comparison

__all__ = [
    "Seen",
    "base_url",
    "delete_mine",
    "groups_of",
    "link_of",
    "link_to",
    "opened",
    "query_of",
    "result",
    "share_run",
    "stored",
]


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
    """The link box for ``comparison``, or why it has none."""
    if known_here_only(comparison.plans):
        return link_box("", f"No link: {OWN_MIX}.")
    return link_box(to_url(base_url(request, services), comparison))


def link_of(call: Call) -> Updates:
    """The link box for what the controls say now, or why there is none; and whether the pictures
    are still of that. Closes the script: it may not be the one of its column any more."""
    closed, shown = {"code": ""}, call.given["shown"]
    try:
        comparison = read_comparison(call.given, call.services.catalog)
    except InputError as error:
        return {"link": link_box("", f"No link yet. {error}."), "notice": "", **closed}
    link = link_to(comparison, call.request, call.services)
    told = {"changed": changed_bar(shown.lags(comparison)), "notice": _notice(comparison, call)}
    return {"link": link, **told, **closed}


def _notice(comparison: Comparison, call: Call) -> str:
    """What to know before Run is pressed: of a long prompt how much of it is read, for one."""
    model = call.services.catalog.models[comparison.model]
    notes = beforehand(model, [comparison.prompt], comparison.sequence_length)
    return f'<p class="ql-notice" role="status">{escape(" ".join(notes))}</p>' if notes else ""


OWN_MIX = "a mix of your own is a folder on this machine"
FRAME = 640
"""Pixels across of a frame for another page."""


@dataclass(frozen=True)
class Seen:
    """What an address asks for, and how the page begins to tell of it."""

    shown: Shown
    lead: str


def opened(query: str, services: Services) -> Seen | None:
    """What the query of an address asks for, with stored results; None where it asks for nothing.

    Raises:
        InputError: the link is broken; the message names the part.
        StoreError: the results cannot be read.
    """
    wanted = result_id(query)
    if wanted is not None:
        return frozen(wanted, services) or Seen(result(wanted, services), "Opened from a link.")
    comparison = from_query(query, services.catalog)
    return None if comparison is None else Seen(stored(comparison, services), "Opened from a link.")


def frozen(wanted: str, services: Services) -> Seen | None:
    """What somebody shared under that id, as they saw it; None where it is no share."""
    shared = services.store.shared(wanted) if services.store is not None else None
    if shared is None:
        return None
    lead = f"Shared on {when(shared.made_at)}, as it was seen then."
    if shared.missing:
        several = shared.missing > 1
        lead += f" {shared.missing} of its results {'are' if several else 'is'} not kept any more."
    results = tuple((row.plan, _result(row, services)) for row in shared.found)
    return Seen(Shown(shared.comparison, results), lead)


def share_run(call: Call) -> Updates:
    """Freeze what is on the page under a link that no later run changes; and the same as a frame
    for another page and as a table."""
    shown, services = call.given["shown"], call.services
    comparison = shown.comparison
    if comparison is None or not shown.results:
        return {"shared": banner("There is nothing to share yet; press Run first.")}
    if known_here_only(comparison.plans):
        return {"shared": banner(f"This run cannot be shared: {OWN_MIX}.")}
    try:
        url, note = _frozen_link(call, shown)
        table = to_markdown([together(each) for each in groups_of(shown, services)])
    except (InputError, StoreError) as error:
        return {"shared": banner(f"{error}.".replace("..", "."))}
    shape = f'width="{FRAME}" height="{round(FRAME * comparison.height / comparison.width) + 220}"'
    frame = f'<iframe src="{url}&embed=1" {shape} title="quantlab" loading="lazy"></iframe>'
    return {
        "shared": link_box(url, note, shared=True)
        + take_box("For another page", frame)
        + (take_box("As a table, in Markdown", table) if table else "")
    }


def _frozen_link(call: Call, shown: Shown) -> tuple[str, str]:
    """The link to what is shown, and what is to be said of it.

    Raises:
        InputError: nothing of it is kept.
        StoreError: the store cannot be used.
    """
    assert shown.comparison is not None
    services = call.services
    base, store, gallery = base_url(call.request, services), services.store, services.gallery
    ids = [item.id for _, item in shown.results if item.id]
    if gallery is not None and ids and all(gallery.get(each) is not None for each in ids):
        return to_url(base, shown.comparison), "These results come with quantlab and stay."
    if store is None or not ids:
        raise InputError("share", "nothing of this run is kept here, so there is no such link")
    share = store.share(shown.comparison, ids)
    if share is None:
        raise InputError("share", "some of these results are not kept any more; run it again")
    note = f"What is seen now stays so under this link, for {PIN_DAYS} days at least."
    return result_url(base, share), note


def groups_of(shown: Shown, services: Services) -> list[Group]:
    """The results on the page as the groups of the Results tab.

    Raises:
        StoreError: the store cannot be read.
    """
    ids = [item.id for _, item in shown.results if item.id]
    rows = [row for each in ids if (row := _row(each, services)) is not None]
    return groups(told(rows)) if rows else []


def _row(wanted: str, services: Services) -> Stored | None:
    """The result of that id, of the store or the gallery."""
    found = services.store.get(wanted) if services.store is not None else None
    if found is None and services.gallery is not None:
        found = services.gallery.get(wanted)
    return found


def delete_mine(call: Call) -> Updates:
    """Remove every result that this browser has run, and the shares that show one."""
    secret, store = str(call.given["mine"] or ""), call.services.store
    if store is None or not secret:
        return {"shared": banner("Nothing of yours is kept here.", problem=False)}
    try:
        gone = store.delete(secret=secret[:64])
    except StoreError as error:
        return {"shared": banner(str(error))}
    text = f"{gone} of your results {'was' if gone == 1 else 'were'} removed, with their pictures."
    return {"shared": banner(text, problem=False)}


def result(wanted: str, services: Services) -> Shown:
    """The comparison of the stored result of that id, with what else the store holds of it.

    Raises:
        InputError: it is not stored here.
        StoreError: the results cannot be read.
    """
    found = _row(wanted, services)
    if found is None:
        raise InputError("r", "this result is not stored here any more")
    shown = stored(found.comparison, services)
    return shown.put(found.plan, _result(found, services))


def query_of(request: gr.Request | None) -> str:
    """The raw query, so that repeated keys and broken bytes are still to be seen."""
    inner = getattr(request, "request", None)
    return inner.url.query if inner is not None else ""


def stored(comparison: Comparison, services: Services) -> Shown:
    """``comparison`` with what the store holds of it, and of the rest the gallery that ships.

    Raises:
        StoreError: the results cannot be read.
    """
    rows = services.gallery.find(comparison) if services.gallery is not None else []
    rows = [*rows, *(services.store.find(comparison) if services.store is not None else ())]
    found = {row.plan: _result(row, services) for row in rows}  # what was measured here comes last
    return Shown(comparison, tuple((p, found[p]) for p in map(str, comparison.plans) if p in found))


def _result(row: Stored, services: Services) -> Result:
    asked, machine = row.comparison, (row.device, row.versions)
    worse: tuple[str, ...] = ()
    if not row.shipped:  # what ships is known already where predictions are made
        worse = worse_than_predicted(asked, row.outcome, machine, services.catalog)
    path = picture(row.image_png)
    return Result(row.outcome, path, _origin(row), row.id, lossy=row.shipped, worse=worse)


def _origin(row: Stored) -> str:
    where = row.device, row.versions, row.measured_at, row.imported_at
    return origin(*where, shipped=row.shipped)
