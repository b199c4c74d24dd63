"""Files that are made when somebody asks for them, and go to the browser as downloads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from quantlab.ui.named import Call, Parts, Updates, wire
from quantlab.ui.services import Services
from quantlab.ui.theme import HIDDEN

__all__ = ["download", "named", "offer"]

PRESS = "() => setTimeout(() => document.querySelector('#{}').click(), 50)"
"""A moment later, so that the page has taken in where the file is."""


def named(what: str, ending: str) -> str:
    """A file name with today's date: ``quantlab-results-2026-11-21.csv``."""
    return f"quantlab-{what}-{datetime.now(UTC).date().isoformat()}.{ending}"


def offer(name: str, data: bytes) -> str:
    """Put a file where the page may serve it; the page's own clean-up removes it again."""
    path: str = save_bytes_to_cache(data, name, cache_dir=get_upload_folder())
    return path


def download(
    button: Any, handler: Callable[[Call], str], services: Services, inputs: Parts, elem_id: str
) -> None:
    """Let ``button`` download the file that ``handler`` makes; ``elem_id`` is used for that."""
    file = gr.DownloadButton(visible=HIDDEN, elem_id=elem_id)

    def made(call: Call) -> Updates:
        return {"file": handler(call)}

    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    done = wire(button.click, made, services, inputs, {"file": file}, **options)
    done.success(None, js=PRESS.format(elem_id), api_visibility="private")
