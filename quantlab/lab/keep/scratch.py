"""Folders for the time of a run, in the system's temporary one or another, that no killed process
leaves behind for good.

Whoever uses a folder holds a lock in it, which the system lets go when the process is gone, however
it went. The first that a process asks for sweeps those that nobody holds any more.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is swept there
    fcntl = None  # type: ignore[assignment]

__all__ = ["scratch", "sweep"]

PREFIX = "quantlab-run-"
LOCK = ".in-use"
FRESH_S = 600.0
"""A folder without a lock may be one that is just being made."""


@contextmanager
def scratch(where: Path | None = None) -> Iterator[str]:
    """A new folder in ``where`` (the temporary one) that is removed at the end, or by a later
    process where this one is killed."""
    where = where or Path(tempfile.gettempdir())
    _sweep_once(where)
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=where, ignore_cleanup_errors=True) as folder,
        open(Path(folder) / LOCK, "wb") as lock,
    ):
        _hold(lock)
        yield folder


def sweep(where: Path) -> int:
    """Remove the folders in ``where`` of processes that are gone; gives how many."""
    return sum(map(_remove, where.glob(f"{PREFIX}*")))


@functools.cache
def _sweep_once(where: Path) -> None:
    sweep(where)


def _hold(lock: object) -> bool:
    """Whether nobody else holds it; False where the file system has no locks."""
    if fcntl is None:
        return False
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
        return True
    return False


def _remove(folder: Path) -> bool:
    with suppress(OSError):  # another user's, or another process sweeps too
        if not (folder / LOCK).exists() and time.time() - folder.stat().st_mtime < FRESH_S:
            return False
        with open(folder / LOCK, "ab") as lock:
            if not _hold(lock):
                return False
            shutil.rmtree(folder)
            return True
    return False
