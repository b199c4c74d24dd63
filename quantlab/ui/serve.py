"""Serving the page: the one set of launch options, its guards, and MCP where that is installed."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MethodType
from typing import Any
from urllib.parse import quote

from starlette.middleware import Middleware

from quantlab.ui.blocks import Page
from quantlab.ui.guard.bodies import Bodies
from quantlab.ui.guard.faults import Faults
from quantlab.ui.guard.hosts import Hosts, allowed_names
from quantlab.ui.guard.logs import keep_brief
from quantlab.ui.theme import STYLES, theme

__all__ = ["serve"]


SLOTS = 80
"""Callers that are answered at once; those who wait for a run take ``jobs.MOST`` of them."""
SESSIONS = 500
"""Visitors whose state is kept; beyond them the one who was idle longest begins anew."""


def serve(
    page: Page,
    *,
    wait: bool = True,
    hosts: Iterable[str] = (),
    then: Callable[[], object] = lambda: None,
) -> str:
    """Launch ``page`` and give its address; with ``wait``, only when it has ended. ``then`` is
    called as soon as the page is served.

    ``hosts`` are more names that a page on loopback answers to. Nothing of the page takes a file,
    so uploads are closed; Gradio's pages of past runs and of usage are left out.
    """
    names = allowed_names(os.environ, hosts)
    guards = [Middleware(Hosts, names=names), Middleware(Bodies), Middleware(Faults)]
    page.queue(api_open=False, default_concurrency_limit=None)  # who waits: jobs.py
    page.launch(
        theme=theme(),
        css_paths=STYLES,
        footer_links=[],
        show_error=False,
        ssr_mode=False,
        strict_cors=False,  # a sandboxed frame has the Origin null; foreign ones: guard/hosts.py
        share=False,
        run_history=False,
        enable_monitoring=False,
        max_file_size=1,
        max_threads=SLOTS,
        state_session_capacity=SESSIONS,
        app_kwargs={"middleware": [*guards, *page.wrappers], "routes": page.routes},
        mcp_server=importlib.util.find_spec("mcp") is not None,
        prevent_thread_lock=True,
    )
    keep_brief()
    if page.mcp_server_obj is not None:
        # Gradio answers tools with str(), which of a dict is Python and not JSON.
        page.mcp_server_obj.postprocess_output_data = MethodType(_answer, page.mcp_server_obj)
    then()
    if wait:
        page.block_thread()
    return str(page.local_url)


def _answer(server: Any, data: list[Any], root_url: str) -> list[Any]:
    """A tool's values as JSON text, then the images whose addresses the text gives."""
    files: list[Path] = []
    plain = [_plain(value, root_url, files) for value in data]
    texts = [json.dumps(value, ensure_ascii=False) for value in plain]
    content = [server.types.TextContent(type="text", text=text) for text in texts]
    for file in files:
        encoded = base64.b64encode(file.read_bytes()).decode()
        image = server.types.ImageContent(type="image", data=encoded, mimeType="image/png")
        content.append(image)
    return content


def _plain(value: Any, root_url: str, files: list[Path]) -> Any:
    """``value`` with the address of each file that Gradio serves instead of its description."""
    if isinstance(value, Mapping):
        meta = value.get("meta")
        if isinstance(meta, Mapping) and meta.get("_type") == "gradio.FileData":
            files.append(Path(value["path"]))
            return f"{root_url.rstrip('/')}/gradio_api/file={quote(value['path'])}"
        return {key: _plain(item, root_url, files) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, root_url, files) for item in value]
    return value
