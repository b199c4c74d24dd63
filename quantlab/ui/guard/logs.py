"""Log lines that nobody outside can make long or many.

What is logged quotes what was sent, and some servers log each refused connection: a flood of
requests then fills the disk. A line is cut, and lines alike are counted instead of written after
the first few in a minute.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback

__all__ = ["Brief", "keep_brief"]

MAX_CHARACTERS = 600
MAX_TRACE_LINES = 40
PER_MINUTE = 20
LOGGERS = ("", "asyncio", "uvicorn", "uvicorn.error", "uvicorn.access", "gradio", "quantlab", "mcp")


class Brief(logging.Filter):
    """Cuts long lines, and lets ``per_minute`` lines of one place in the code through."""

    def __init__(self, per_minute: int = PER_MINUTE, most: int = MAX_CHARACTERS) -> None:
        super().__init__()
        self._per_minute, self._most = per_minute, most
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; it is cut in place."""
        key, now = (record.pathname, record.lineno), time.monotonic()
        with self._lock:
            since, count = self._seen.get(key, (now, 0))
            if now - since >= 60:
                since, count = now, 0
            self._seen[key] = (since, count + 1)
        if count >= self._per_minute:
            return False
        self._shorten(record)
        if count == self._per_minute - 1:
            record.msg = f"{record.msg} (more like this are left out for a minute)"
        return True

    def _shorten(self, record: logging.LogRecord) -> None:
        record.msg, record.args = _cut(record.getMessage(), self._most), None
        if isinstance(record.exc_info, tuple) and not record.exc_text:
            trace = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            lines = [_cut(line, self._most) for line in trace.splitlines()]
            record.exc_text = "\n".join(lines[:2] + lines[2:][-MAX_TRACE_LINES:])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def keep_brief() -> None:
    """Have every handler that writes the server's log keep its lines brief, from now on.

    Each counts for itself: a line that goes to two handlers is one line in each.
    """
    handlers = [each for name in LOGGERS for each in logging.getLogger(name).handlers]
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        if not any(isinstance(each, Brief) for each in handler.filters):
            handler.addFilter(Brief())
