"""A folder of folders under a size limit: each entry is there whole, or not at all.

    DIR/1f0c.../entry.json      what it is, and the size and SHA-256 of every file beside it
    DIR/1f0c.../...             what was put in
    DIR/.part-... .gone-...     being written, being removed

An entry is written in a folder of its own and renamed when it is complete, and renamed again before
it is removed, so that several processes may use one folder; the one that is renamed first stays.
Knows nothing of what its entries are.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Entry", "Shelf"]

RECORD = "entry.json"
STALE_S = 3600
"""Nobody has written to a folder for as long as this: whoever began it is gone."""
_NAME = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Entry:
    """A whole entry: the folder of its files, and what was said about it."""

    folder: Path
    about: Mapping[str, Any]


class Shelf:
    """Entries in ``folder``, ``limit_bytes`` in all; the least recently used go first."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes

    def has(self, what: Mapping[str, Any]) -> bool:
        """Whether there is an entry of ``what``, damaged or not."""
        return (self.folder / _name(what)).exists()

    def get(self, what: Mapping[str, Any]) -> Entry | None:
        """The entry of ``what``; None where there is none. A damaged one is removed.

        Every file is read once and held against its SHA-256.
        """
        folder = self.folder / _name(what)
        if not folder.exists():
            return None
        try:
            record = _record(folder)
            whole = record is not None and all(
                _digest(folder / name) == digest for name, digest in record["files"].items()
            )
            if record is None or not whole:
                self.remove(what)
                return None
            os.utime(folder / RECORD)
        except OSError:  # removed by another process meanwhile
            return None
        return Entry(folder, record["about"])

    def put(
        self, what: Mapping[str, Any], size: int, write: Callable[[Path], Mapping[str, Any]]
    ) -> bool:
        """Keep what ``write`` puts into the folder that it is given; it returns what to say of it.

        ``size`` is about how many bytes that takes. False where it is more than the limit or than
        the disk has free; then ``write`` is not called.

        Raises:
            OSError: the folder cannot be written. Whatever ``write`` raises; nothing is kept then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        if size > min(self.limit_bytes, shutil.disk_usage(self.folder).free):
            return False
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self.folder))
        try:
            about = write(part)
            names = sorted(p.relative_to(part).as_posix() for p in part.rglob("*") if p.is_file())
            taken = sum((part / name).stat().st_size for name in names)
            if taken > self.limit_bytes:
                return False
            digests = {name: _digest(part / name) for name in names}
            record = {"what": dict(what), "about": dict(about), "bytes": taken, "files": digests}
            (part / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
            placed = self._place(part, self.folder / _name(what))
            # Afterwards: whoever places last sees what all others have, and keeps to the limit.
            self._make_room(taken, but=_name(what))
            return placed
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def remove(self, what: Mapping[str, Any]) -> None:
        """Let an entry go, whole or damaged."""
        self._drop(self.folder / _name(what))

    def _place(self, part: Path, target: Path) -> bool:
        try:
            part.rename(target)
        except OSError:
            if _record(target) is not None:
                return True  # another process was first, with the same
            self._drop(target)
            part.rename(target)
        return True

    def _make_room(self, size: int, but: str) -> None:
        others = [(when, held, path) for when, held, path in self._entries() if path.name != but]
        total = size + sum(held for _, held, _ in others)
        for _, held, path in sorted(others):
            if total <= self.limit_bytes:
                return
            self._drop(path)
            total -= held

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """When each was last used, its bytes, and its folder."""
        for path in self.folder.iterdir():
            if not _NAME.fullmatch(path.name):
                continue
            record = _record(path)
            if record is not None:
                yield _changed(path / RECORD), record["bytes"], path

    def _drop(self, path: Path) -> None:
        gone = Path(tempfile.mkdtemp(prefix=".gone-", dir=self.folder))
        with suppress(OSError):  # another process was first
            path.rename(gone / "entry")
        shutil.rmtree(gone, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what processes that ended in the middle have left."""
        for path in [*self.folder.glob(".part-*"), *self.folder.glob(".gone-*")]:
            if time.time() - _newest(path) > STALE_S:
                shutil.rmtree(path, ignore_errors=True)


def _name(what: Mapping[str, Any]) -> str:
    text = json.dumps(what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _record(folder: Path) -> dict[str, Any] | None:
    """What an entry says of itself, or None where it is no whole record."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        whole = isinstance(record["files"], dict) and isinstance(record["about"], dict)
        return record if whole and isinstance(record["bytes"], int) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(path: Path) -> str | None:
    """The SHA-256 of a file, or None where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _newest(folder: Path) -> float:
    """When anything in a folder changed last, which another process may be removing."""
    paths = [folder]
    for root, _, files in os.walk(folder):
        paths += [Path(root), *(Path(root, name) for name in files)]
    return max(_changed(path) for path in paths)


def _changed(path: Path) -> float:
    """When a path changed last; now where it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
