"""Rows of a GPU day: one JSON line each, on disk as soon as it is known, with the machine on it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Book", "machine", "read"]


@dataclass
class Book:
    """Appends rows of one part to a file. ``about`` is the machine, as ``machine`` gives it.

    Every row has ``part``, ``item`` and ``what``; "begun", "ended", "failed" and "skipped" tell of
    items, all else are figures. Bytes are bytes, ``_s`` are seconds.
    """

    path: Path
    part: str
    about: dict[str, Any] = field(default_factory=dict)
    item: str = ""

    def add(self, what: str, **values: Any) -> None:
        """Write one row, whole, before anything else happens."""
        row = {"part": self.part, "item": self.item, "what": what, **values, **self.about}
        row["at"] = round(time.time(), 2)
        line = json.dumps(row, default=str) + "\n"
        with self.path.open("ab", buffering=0) as lines:
            lines.write(line.encode())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, in order; nothing where it is not there yet."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def machine() -> dict[str, Any]:
    """What rows are measured on and with. Imports torch."""
    from quantlab.lab.device import this_device
    from quantlab.lab.libraries import torch, versions

    info = this_device().info()
    return {
        "device": info["name"],
        "device_kind": info["kind"],
        "device_bytes": info["memory_bytes"],
        "driver": _driver() if info["kind"] == "cuda" else "",
        "cuda": str(torch().version.cuda or ""),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "measured_on": datetime.date.today().isoformat(),
        "evidence": "measured",
        "versions": versions(),
    }


def _driver() -> str:
    """The version of NVIDIA's driver, as its own tool says, or "unknown"."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return said.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"
