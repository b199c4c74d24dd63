"""Files in the hub's cache: whether they are whole, and how they are dropped.

A snapshot's file is a symbolic link to content that is named by its digest. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

__all__ = [
    "fingerprint",
    "free_bytes",
    "genuine",
    "holds",
    "intact",
    "quantization_config",
    "remove",
]

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def genuine(path: Path) -> bool:
    """Whether a fresh file has the digest that it is named by: the client compares sizes only.

    True where the cache does not name files by digest (no symbolic links).
    """
    expected = Path(os.readlink(path)).name if path.is_symlink() else ""
    return not _DIGEST.fullmatch(expected) or _digest(path, expected) == expected


def _digest(path: Path, like: str) -> str:
    """The file's digest of the kind of ``like``: sha256 for large files, git's sha1 for others."""
    with path.open("rb") as stream:
        if len(like) == 64:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        header = f"blob {path.stat().st_size}\0".encode()
        return hashlib.sha1(header + stream.read(), usedforsecurity=False).hexdigest()


def intact(path: Path) -> bool:
    """False where a safetensors file is shorter or longer than its own header says."""
    if path.suffix != ".safetensors":
        return path.exists()
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            tensors = json.loads(stream.read(length))
        ends = [t["data_offsets"][1] for name, t in tensors.items() if name != "__metadata__"]
        return path.stat().st_size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, MemoryError):
        return False


def holds(folder: Path) -> bool:
    """Whether a component's folder has all of its weight files, each whole."""
    index = next(iter(sorted(folder.glob("*.safetensors.index.json"))), None)
    if index is None:
        names = {path.name for path in folder.glob("*.safetensors")}
    else:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return bool(names) and all(intact(folder / name) for name in names)


def remove(path: Path) -> None:
    """Delete a cached file: the name in the snapshot, and the content that it points to."""
    while path.is_symlink():
        target = path.parent / os.readlink(path)
        path.unlink()
        path = target
    path.unlink(missing_ok=True)


def free_bytes(folder: Path) -> int:
    """Bytes free where ``folder`` is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def fingerprint(place: Path) -> str:
    """12 hex digits of the names, sizes and times of the weights in a component's folder, or of
    the one file that they are."""
    digest = hashlib.sha256()
    for shard in [place] if place.is_file() else sorted(place.glob("*.safetensors")):
        digest.update(f"{shard.name} {shard.stat().st_size} {shard.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:12]


def quantization_config(folder: Path) -> dict[str, list[str] | None]:
    """How the component in ``folder`` is stored quantized; empty where it is not."""
    path = folder / "config.json"
    if not path.exists():
        return {}
    config = json.loads(path.read_text(encoding="utf-8"))
    return dict(config.get("quantization_config") or {})
