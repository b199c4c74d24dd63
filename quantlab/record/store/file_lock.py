"""A lock that processes share through a file; it is let go when the file is closed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, which does not let an open file be moved anyway
    fcntl = None  # type: ignore[assignment]

__all__ = ["hold"]


def hold(path: Path, *, exclusive: bool, wait_s: float) -> IO[bytes]:
    """The open lock file; many may hold it unless one holds it exclusively.

    Where the file system has no locks, nothing is held: one process at a time has to do.

    Raises:
        TimeoutError: somebody else kept it for ``wait_s`` seconds.
        OSError: the file cannot be opened.
    """
    file = open(path, "ab")  # noqa: SIM115 - who asked closes it
    if fcntl is None:
        return file
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                raise TimeoutError(f"{path.name} is held") from None
            time.sleep(0.005)
            continue
        except OSError:
            pass
        return file
