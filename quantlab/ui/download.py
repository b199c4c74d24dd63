"""Files that are made when somebody asks for them, and go to the browser as downloads."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import hash_bytes
from gradio.utils import get_upload_folder

from quantlab.ui.named import Call, Parts, Updates, wire
from quantlab.ui.services import Services
from quantlab.ui.theme import HIDDEN

__all__ = ["download", "keep_within", "named", "offer"]

KEPT_BYTES = 2**30
"""Of all files that are offered: 1 GiB."""
LOOK_BYTES = 2**26
"""About so many bytes are added between two looks at what there is."""
LEAST_BYTES = 2**13
"""What a file takes of a disk, with its folder, however small it is."""
_OFFERED = re.compile(r"[0-9a-f]{64}")
PRESS = "() => setTimeout(() => document.querySelector('#{}').click(), 50)"
"""A moment later, so that the page has taken in where the file is."""


def named(what: str, ending: str) -> str:
    """A file name with today's date: ``quantlab-results-2026-11-21.csv``."""
    return f"quantlab-{what}-{datetime.now(UTC).date().isoformat()}.{ending}"


def offer(name: str, data: bytes) -> str:
    """Put a file where the page may serve it; the page's own clean-up removes it again.

    It is there whole or not at all: many ask for the same bytes at once, and Gradio's own
    ``save_bytes_to_cache`` empties a file that others read. The clean-up goes by the last change,
    so a file that is offered again is touched.
    """
    folder = Path(get_upload_folder()) / hash_bytes(data)
    path = folder / name
    try:
        os.utime(path)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{secrets.token_hex(8)}.part"
        part.write_bytes(data)
        part.replace(path)
        if secrets.randbelow(LOOK_BYTES) < len(data) + LEAST_BYTES:
            keep_within(KEPT_BYTES)
    return str(path.resolve())


def keep_within(most_bytes: int) -> None:
    """Remove the files that were offered longest ago, as far as all take more than
    ``most_bytes``: Gradio removes them when a day has passed, which may be thousands of exports."""
    found = []
    for path in Path(get_upload_folder()).glob("*/*"):
        with contextlib.suppress(OSError):  # another request was first
            if _OFFERED.fullmatch(path.parent.name) and path.is_file():
                about = path.stat()
                found.append((about.st_mtime, about.st_size + LEAST_BYTES, path))
    over = sum(size for _, size, _ in found) - most_bytes
    for _, size, path in sorted(found):
        if over <= 0:
            return
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()
        over -= size


def download(
    pressed: Any, handler: Callable[[Call], str], services: Services, inputs: Parts, elem_id: str
) -> None:
    """Have the event ``pressed`` download the file that ``handler`` makes; ``elem_id`` is used for
    that."""
    file = gr.DownloadButton(visible=HIDDEN, elem_id=elem_id)

    def made(call: Call) -> Updates:
        return {"file": handler(call)}

    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    done = wire(pressed, made, services, inputs, {"file": file}, **options)
    done.success(None, js=PRESS.format(elem_id), api_visibility="private")
