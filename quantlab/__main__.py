"""``python -m quantlab`` and the command ``quantlab``: whatever happens, one sentence."""

from __future__ import annotations

import os
import signal
import sys

from quantlab.errors import Ending

__all__ = ["run"]


def run() -> int:
    """Run one command; the return value is the exit status."""
    if sys.stdout is None:
        print("quantlab: standard output is closed; there is nowhere to print to", file=sys.stderr)
        return 1
    ending = Ending()
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
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


if __name__ == "__main__":
    raise SystemExit(run())
