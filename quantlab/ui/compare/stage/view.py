"""Pieces of the Compare tab as HTML: one sentence, the link, a script, progress, where from.

Pure functions of outcomes; every text is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from quantlab.ui.words import when

__all__ = [
    "STATES",
    "banner",
    "changed_bar",
    "code_box",
    "link_box",
    "origin",
    "progress",
    "running_mark",
    "take_box",
    "zoom_bar",
]

STATES = {
    "idle": ("○", "not run yet"),
    "queued": ("⋯", "queued"),
    "waiting": ("◌", "waiting for its turn"),
    "running": ("▸", "running"),
    "stopping": ("◧", "stopping"),
    "done": ("✓", "done"),
    "stopped": ("■", "stopped"),
    "failed": ("✗", "failed"),
}
"""Sign and word of each state of a column."""


def banner(text: str, *, problem: bool = True) -> str:
    """One sentence across the page; empty text gives nothing."""
    if not text:
        return ""
    kind, role = ("is-problem", "alert") if problem else ("is-note", "status")
    return f'<p class="ql-banner {kind}" role="{role}">{escape(text)}</p>'


def changed_bar(text: str) -> str:
    """That the pictures are not all those of the controls, and both ways on; nothing for ""."""
    if not text:
        return ""
    return (
        f'<div class="ql-changed" role="status"><span>{escape(text)}</span>'
        '<button type="button" class="ql-button is-primary" data-tell="again">Run'
        '</button><button type="button" class="ql-button" data-tell="undo">Undo</button></div>'
    )


def link_box(url: str, note: str = "", *, shared: bool = False) -> str:
    """The link to copy, or why there is none: to a comparison, or to what was ``shared``."""
    off = "" if url else " disabled"
    name = "ql-share-url" if shared else "ql-link-url"
    what = "Link to what is seen now" if shared else "Link to this comparison"
    return (
        f'<label for="{name}">{what}</label><div class="ql-link-line" data-url="{escape(url)}">'
        f'<input id="{name}" type="text" readonly value="{escape(url)}">'
        f'<button type="button" class="ql-button" data-copy{off}>Copy</button></div>'
        f'<p class="ql-hint" role="status">{escape(note)}</p>'
    )


def code_box(script: str, plan: str) -> str:
    """A script to read and copy."""
    if not script:
        return ""
    return (
        '<div class="ql-code"><button type="button" class="ql-button" data-copy>Copy</button>'
        '<span class="ql-hint" role="status"></span>'
        f'<pre tabindex="0" role="region" aria-label="Script of {escape(plan)}">'
        f"{escape(script)}</pre></div>"
    )


def take_box(name: str, text: str, *, opened: bool = False) -> str:
    """Something to take away, folded unless ``opened``: its name, and the text to copy."""
    open_ = " open" if opened else ""
    return (
        f'<details class="ql-code" data-copied{open_}><summary>{escape(name)}</summary>'
        '<button type="button" class="ql-button" data-copy>Copy</button>'
        f'<span class="ql-hint" role="status"></span><pre tabindex="0" role="region" '
        f'aria-label="{escape(name)}">{escape(text)}</pre></details>'
    )


def zoom_bar() -> str:
    """The buttons of static/zoom.js for the images of the group that they stand in."""
    out, into, whole = (
        f'<button type="button" class="ql-button" data-zoom="{way}" aria-label="{name}">{sign}'
        "</button>"
        for way, name, sign in (
            ("out", "Zoom all images out", "−"),
            ("in", "Zoom all images in", "+"),
            ("reset", "Whole images", "Reset"),
        )
    )
    return (
        f'<div class="ql-zoom-bar" role="group" aria-label="Zoom">{out}'
        f'<output class="ql-zoom-level" aria-live="polite">1×</output>{into}{whole}'
        '<span class="ql-hint">All images move together: select one, then turn the wheel, pinch, '
        "drag, or press + − and the arrows; 0 goes back.</span></div>"
    )


def progress(text: str, fraction: float | None = None) -> str:
    """The bar above the columns, with what is happening; no bar where nothing is under way."""
    bar = ""
    if fraction is not None:
        percent = round(100 * min(max(fraction, 0.0), 1.0))
        bar = f'<progress max="100" value="{percent}" aria-label="Progress">{percent}%</progress>'
    return f'<div class="ql-progress" role="status">{bar}<span>{escape(text)}</span></div>'


def running_mark(token: str) -> str:
    """What tells static/address.js which job is under way, for the page's address."""
    return f'<i data-run="{escape(token)}"></i>'


def origin(
    device: Mapping[str, Any],
    versions: Mapping[str, Any],
    moment: str,
    imported_at: str | None = None,
    *,
    shipped: bool = False,
) -> str:
    """Where and when a stored result was measured: ``2026-11-21 08:21 UTC on X, torch 2.13.0``,
    and that it came from another machine, or with quantlab, where it did."""
    parts = [f"{when(moment)} on {device.get('name') or device.get('kind') or 'a machine'}"]
    parts += [f"{name} {versions[name]}" for name in ("torch", "diffusers") if name in versions]
    if imported_at is not None:
        parts.append(f"imported from another machine on {imported_at[:10]}")
    if shipped:
        parts.append("recorded for quantlab’s gallery")
    return ", ".join(parts)
