"""The probe's process with capabilities that misbehave; run as ``-m tests.probe_stand_in``."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Any

from quantlab.lab.probe.subject import Finding
from quantlab.lab.probe.worker import main


def _works(_: Any) -> Finding:
    print("chatter of a library on stdout")
    os.write(1, b"{chatter of a library in C\n")
    return Finding("yes", "works")


def _hangs(_: Any) -> Finding:
    time.sleep(600)
    return Finding("yes", "")


def _segfaults(_: Any) -> Finding:
    ctypes.string_at(0)
    return Finding("yes", "")


def _refuses(_: Any) -> Finding:
    raise ValueError("not on this machine\nsee /usr/lib/python3/dist-packages/thing.py")


def _breaks(_: Any) -> Finding:
    raise RuntimeError("shapes of /usr/lib/python3/thing.py do not match")


def _eats_memory(_: Any) -> Finding:
    held = bytearray(os.urandom(1)) * 400_000_000
    time.sleep(600)
    return Finding("yes", str(len(held)))


def _leaves(_: Any) -> Finding:
    print("could not go on", file=sys.stderr)
    os._exit(3)


if __name__ == "__main__":
    main(
        {
            "load": _works,
            "run": _hangs,
            "save-reload": _segfaults,
            "compile": _refuses,
            "lora": _breaks,
            "offload": _eats_memory,
            "simple-form": _leaves,
            "dtype-move": _works,
        }
    )
