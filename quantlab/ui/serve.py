"""Serving the page: the one set of launch options, its guards, and MCP where that is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Iterable

from starlette.middleware import Middleware

from quantlab.ui.blocks import Page
from quantlab.ui.guard.bodies import CODE, Bodies
from quantlab.ui.guard.documents import Documents
from quantlab.ui.guard.doors import Doors
from quantlab.ui.guard.faults import Faults
from quantlab.ui.guard.hosts import Hosts, allowed_names
from quantlab.ui.guard.logs import keep_brief
from quantlab.ui.kept.front import Kept, Made
from quantlab.ui.preview.serve import Tagged
from quantlab.ui.programs.agents import speak_plainly
from quantlab.ui.theme import STYLES, theme
from quantlab.ui.visitors.connections import connecting
from quantlab.ui.visitors.crowd import Crowd
from quantlab.ui.visitors.forwarded import Forwarded, has_proxy
from quantlab.ui.visitors.leaving import Leaving
from quantlab.ui.visitors.limits import Limits
from quantlab.ui.visitors.tabs import Sessions, Tabs, Watched
from quantlab.ui.visitors.turns import InTurn, Pending
from quantlab.ui.visitors.unread import Unread

__all__ = ["serve"]


SLOTS = 80
"""Callers that are answered at once; those who wait for a run take ``jobs.MOST`` of them."""


def serve(
    page: Page,
    *,
    wait: bool = True,
    hosts: Iterable[str] = (),
    proxied: bool = False,
    limits: Limits | None = None,
    then: Callable[[asyncio.AbstractEventLoop], object] = lambda _: None,
) -> str:
    """Launch ``page`` and give its address; with ``wait``, only when it has ended. ``then`` is
    called as soon as the page is served, with the loop that serves it.

    ``hosts`` are more names that a page on loopback answers to; ``proxied`` says that a proxy of
    the operator's tells where visitors are. The page takes pictures to go by, no other file, so
    Gradio's upload is closed; its pages of past runs and of usage are not there.
    """
    limits, tabs, calls = limits or Limits(), Tabs(), set[str]()
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
        state_session_capacity=limits.sessions,
        app_kwargs={"middleware": _guards(page, limits, tabs, calls, hosts), "routes": page.routes},
        mcp_server=importlib.util.find_spec("mcp") is not None,
        prevent_thread_lock=True,
    )
    keep_brief()
    config = page.server.config
    proxied = has_proxy(os.environ, said=proxied)
    # Outside of all else: uvicorn reads the header before any guard does.
    config.loaded_app = Forwarded(config.loaded_app, proxied=proxied, calls=calls)
    _bound(page, limits, tabs)
    if page.mcp_server_obj is not None:
        speak_plainly(page.mcp_server_obj)
    then(page.server.servers[0].get_loop())
    if wait:
        page.block_thread()
    return str(page.local_url)


def _guards(
    page: Page, limits: Limits, tabs: Tabs, calls: set[str], hosts: Iterable[str]
) -> list[Middleware]:
    """What each request goes through, from the outside in."""
    return [
        Middleware(Hosts, names=allowed_names(os.environ, hosts)),
        Middleware(Crowd, most=limits.at_once),
        Middleware(Bodies, uploads={**CODE, **page.uploads}, within_s=limits.body_s),
        Middleware(Doors, more=[route.path.partition("{")[0] for route in page.routes]),
        Middleware(Watched, tabs=tabs),
        Middleware(Faults),
        Middleware(Documents),
        Middleware(Leaving, left=page.left, calls=calls),
        Middleware(InTurn, turns=page.turns),
        *page.wrappers,
        Middleware(Kept),
        Middleware(Tagged),
        Middleware(Made),
    ]


def _bound(page: Page, limits: Limits, tabs: Tabs) -> None:
    """Hold what Gradio and uvicorn keep of visitors to ``limits``, while there is none yet."""
    page.server.config.http_protocol_class = connecting(limits)
    page.state_holder.session_data = Sessions(tabs)
    queue, pending = page._queue, Pending()
    queue.pending_messages_per_session = Unread(
        limits.unread, lambda name: queue.pending_event_ids_session.pop(name, None)
    )
    queue.event_ids_to_events = pending
    queue.push = pending.holding(queue.push, page.fns)
    # After every event Gradio makes a table of the last 10,000 for a page that is not served here.
    queue.ANALYTICS_MAX_EVENTS = 0
