"""``python -m quantlab`` and the command ``quantlab``: whatever happens, one sentence."""

from __future__ import annotations

import os
import sys

__all__ = ["run"]


def run() -> int:
    """Run one command; the return value is the exit status."""
    if sys.stdout is None:
        print("quantlab: standard output is closed; there is nowhere to print to", file=sys.stderr)
        return 1
    try:
        from quantlab.cli import main  # Ctrl-C may come while this is imported

        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("quantlab: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who read the output has gone: nothing more is to be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


if __name__ == "__main__":
    raise SystemExit(run())
