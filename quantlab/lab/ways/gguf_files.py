"""GGUF files of a component: from the hub where they are known, made here for a local model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import PROJECT, cache_folder
from quantlab.catalog.schema import Model, Scheme
from quantlab.lab.hub import snapshot as hub
from quantlab.lab.ways import apply

__all__ = ["fingerprint", "gguf_file"]


def gguf_file(
    model: Model, name: str, scheme: Any, say: Callable[[str], None] = lambda _: None
) -> str:
    """The path of component ``name`` in ``scheme``, downloaded or made if it is not here yet.

    Raises:
        LoadError, Unavailable: as ``hub.file`` does.
    """
    if model.local:
        return _made(model, name, scheme)
    known = model.gguf_with(scheme.id)
    assert known is not None, "refused before: there is no file"
    return str(hub.file(known.repo, known.files[scheme.id], say))


def _made(model: Model, name: str, scheme: Scheme) -> str:
    """A GGUF file of a local model's component, made on first use and kept.

    Its name carries the weights' fingerprint: new weights get a new file.
    """
    kind = scheme.id.removeprefix("gguf-").upper()
    folder = PROJECT / model.source / name
    path = cache_folder() / f"{model.id}-{name}-{kind}-{fingerprint(folder)}.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        apply.write_gguf(str(folder), str(path), kind)
    return str(path)


def fingerprint(folder: Path) -> str:
    """12 hex digits of the names, sizes and times of the weights in a component's folder."""
    digest = hashlib.sha256()
    for shard in sorted(folder.glob("*.safetensors")):
        digest.update(f"{shard.name} {shard.stat().st_size} {shard.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:12]
