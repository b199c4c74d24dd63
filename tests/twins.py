"""Twins that tests read: each is built once in a process."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from tools.twins import build

__all__ = ["twin"]


@functools.cache
def twin(family: str) -> Path:
    """The folder of a family's twin, which nobody changes."""
    folder = Path(tempfile.mkdtemp(prefix="quantlab-twin-"))
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True))
    build(family, folder / "twin")
    return folder / "twin"
