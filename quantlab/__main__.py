"""``python -m quantlab`` and the command ``quantlab``: whatever happens, one sentence."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from quantlab.errors import ended_by

__all__ = ["run"]


def run() -> int:
    """Run one command; the return value is the exit status."""
    if sys.stdout is None:
        print("quantlab: standard output is closed; there is nowhere to print to", file=sys.stderr)
        return 1
    try:
        signal.signal(signal.SIGTERM, _end)
        from quantlab.cli import main  # Ctrl-C may come while this is imported

        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        print("quantlab: interrupted", file=sys.stderr)
        return ended_by(error)
    except BrokenPipeError:  # who read the output has gone: nothing more is to be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _end(number: int, _: FrameType | None) -> None:
    """As Ctrl-C does: what was begun is put away, and processes that were started end. Who asks a
    second time is not waited for."""
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    raise SystemExit(run())
