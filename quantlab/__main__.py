"""``python -m quantlab`` and the command ``quantlab``: whatever happens, one sentence."""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from typing import TextIO

from quantlab.errors import Ending

__all__ = ["run"]


def run() -> int:
    """Run one command; the return value is the exit status."""
    if sys.stdout is None:
        print("quantlab: standard output is closed; there is nowhere to print to", file=sys.stderr)
        return 1
    ending = Ending()
    for stream in (sys.stdout, sys.stderr):
        _whatever_the_locale(stream)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as of what runs in the background
                signal.signal(number, ending.ask)
        from quantlab.cli import main  # Ctrl-C may come while this is imported

        status = main(ending=ending)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("quantlab: interrupted", file=sys.stderr)
        return ending.status
    except BrokenPipeError:  # who read the output has gone: nothing more is to be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _whatever_the_locale(stream: TextIO | None) -> None:
    """Have ``stream`` print any text: documents and scripts are UTF-8 for whoever reads them, and a
    terminal that has other letters shows a mark for those that it lacks."""
    if isinstance(stream, TextIOWrapper) and stream.encoding.lower() not in ("utf-8", "utf8"):
        if stream.isatty():
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(run())
