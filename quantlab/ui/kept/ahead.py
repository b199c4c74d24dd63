"""Answers that are made before anybody asks: who changes what most change first waits for nothing.

A cold answer takes a tenth of a second of a core, and the first who come after a start would wait
for each other's. One is made at a time, with a pause as long as it took, while nothing runs.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import gradio as gr

from quantlab.errors import QuantlabError
from quantlab.ui.kept.answers import Answers

__all__ = ["answer_ahead"]

log = logging.getLogger(__name__)
LOOK_S = 0.5
"""How often it is looked whether what runs has ended."""


def answer_ahead(
    answers: Answers,
    loop: asyncio.AbstractEventLoop,
    busy: Callable[[], bool],
    after: threading.Thread | None = None,
) -> threading.Thread:
    """Have ``loop``, which serves the page, make what ``answers`` says is likely, in the
    background: once the thread ``after`` has ended, and while nothing is ``busy``."""

    def work() -> None:
        if after is not None:
            after.join()
        for answering in answers.ahead():
            while busy():
                time.sleep(LOOK_S)
            began = time.monotonic()
            try:
                asyncio.run_coroutine_threadsafe(answering, loop).result()
            except (QuantlabError, gr.Error, ValueError) as error:  # who asks is told
                log.info("not answered ahead: %s", error)
            except RuntimeError:  # the page has ended
                answering.close()
                return
            time.sleep(time.monotonic() - began)

    thread = threading.Thread(target=work, name="quantlab-ahead", daemon=True)
    thread.start()
    return thread
