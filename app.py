"""Starts the page: chooses the runner, opens the store, launches Gradio.

The usual GRADIO_SERVER_NAME and GRADIO_SERVER_PORT name another host and port.
"""

from __future__ import annotations

import logging
import os

if os.environ.get("SPACES_ZERO_GPU"):  # must come before anything that touches CUDA
    import spaces  # noqa: F401

from quantlab.catalog.table import load_catalog
from quantlab.errors import InputError, StoreError
from quantlab.lab.runner import choose_runner
from quantlab.record.store import Store
from quantlab.ui.page import build
from quantlab.ui.services import Services
from quantlab.ui.theme import STYLES, theme

log = logging.getLogger("quantlab")


def open_store() -> Store | None:
    """The store of results, or None with a warning: the page works without it."""
    try:
        return Store()
    except (InputError, StoreError) as error:
        log.warning("Results are not kept: %s", error)
        return None


def main() -> None:
    """Build and launch; does not return while the page is served."""
    runner = choose_runner(os.environ)
    services = Services(catalog=load_catalog(), runner=runner, store=open_store())
    page = build(services)
    page.queue(max_size=64)
    page.launch(
        theme=theme(),
        css_paths=STYLES,
        footer_links=[],
        show_error=False,
        ssr_mode=False,
        share=False,
    )


if __name__ == "__main__":
    main()
