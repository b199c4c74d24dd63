"""Fetching a model's files from the hub: what is needed, once, whole, or one message that helps.

Files are looked up and downloaded here, before anything is loaded, so that loading only ever sees
a complete local folder. Knows huggingface_hub and its cache; knows nothing of torch. The client
reads HF_TOKEN itself: no token passes through this file.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from quantlab.catalog.own.headers import INDEXES
from quantlab.catalog.schema import Model
from quantlab.errors import LoadError
from quantlab.lab.hub.errors import disk_full, explain
from quantlab.lab.hub.files import free_bytes, genuine, holds, intact, remove
from quantlab.lab.libraries import load
from quantlab.words.units import gib

__all__ = ["cached", "client", "failures", "file", "snapshot"]

Say = Callable[[str], None]

SMALL = (*INDEXES, "scheduler/*", "*tokenizer*/*", "*processor*/*", "*.json", "*.jinja")
"""Configs and tokenizers, a few MB: they always come along."""

VARIANTS = ("*.fp16*", "*.bf16*")
"""Second copies of the weights in another dtype, which a plain ``from_pretrained`` leaves alone."""

SAY_EVERY_S = 0.5


def snapshot(model: Model, weights: Collection[str], say: Say, *, whole: bool = True) -> Path:
    """A local folder with configs, tokenizers and the weights in the folders ``weights``.

    A folder is that of a component, "" where its files lie beside the index. ``whole`` is whether
    the repository is that of a pipeline, with an index, and not of a single component. What is not
    in the hub's cache is downloaded; ``say`` hears how many bytes are done. Where the hub cannot be
    asked, a complete copy in the cache is taken as it is.

    Raises:
        LoadError: the hub refuses, the disk is full, or a file arrived damaged; nothing of that
            file is kept.
        Unavailable: the hub cannot be reached and the cache does not hold all of it.
    """
    hub = client()
    where = {"repo_id": model.source, "revision": model.revision}
    patterns = _patterns(weights)
    what = {"allow_patterns": patterns, "ignore_patterns": list(VARIANTS)}
    try:
        files = hub.snapshot_download(**where, **what, dry_run=True)
    except failures() as error:
        folder = _cached(hub, {**where, **what}, weights, whole)
        if folder is None:
            raise explain(error, model.source, model.revision) from error
        say("the hub cannot be asked; using the copy in its cache")
        return folder
    _fetch(hub, where, files, say)
    folder = _folder(files)
    for part in weights:
        if not holds(folder / part):
            raise LoadError(
                f"{model.source} has no complete safetensors weights for {part} at revision "
                f"{model.revision}; look at https://huggingface.co/{model.source}"
            )
    return folder


def file(
    repo: str, name: str, say: Say, revision: str = "main", most_bytes: int | None = None
) -> Path:
    """One file of a hub repository, such as a GGUF file; cached, whole and checked.

    Raises:
        LoadError: as ``snapshot`` does, or it has more than ``most_bytes``; then none is fetched.
        Unavailable: as ``snapshot`` does.
    """
    where = {"repo_id": repo, "revision": revision}

    def get(**more: Any) -> Any:
        try:
            return hub.hf_hub_download(**where, filename=name, **more)
        except failures() as error:
            raise explain(error, repo, revision, name) from error

    hub = client()
    found = get(dry_run=True)
    if most_bytes is not None and int(found.file_size or 0) > most_bytes:
        raise LoadError(
            f"{name} of {repo} has {gib(found.file_size)}; at most {gib(most_bytes)} are fetched"
        )
    _fetch(hub, where, [found], say)
    return Path(get())  # from the cache; notes which commit the revision is, for offline use


def cached(model: Model, weights: Collection[str]) -> Path | None:
    """The cache's folder of ``model``, if it has these components whole; the hub is not asked."""
    where = {"repo_id": model.source, "revision": model.revision}
    return _cached(client(), {**where, "allow_patterns": _patterns(weights)}, weights)


def _patterns(weights: Collection[str]) -> list[str]:
    return [*SMALL, *(f"{part}/*.safetensors" if part else "*.safetensors" for part in weights)]


@functools.cache
def client() -> Any:
    """huggingface_hub, without its bars and warnings: ``say`` and the errors here replace them."""
    load("huggingface_hub.utils").disable_progress_bars()
    load("huggingface_hub.utils.logging").set_verbosity_error()
    return load("huggingface_hub")


def failures() -> tuple[type[BaseException], ...]:
    """What the client raises when it cannot do what it was asked."""
    errors = load("huggingface_hub.errors")
    return (OSError, ValueError, RuntimeError, errors.HTTPError, errors.XetDownloadError)


def _fetch(hub: Any, where: Mapping[str, str], files: Collection[Any], say: Say) -> None:
    """Download what is missing of ``files`` and check it; on failure nothing partial is kept."""
    files = sorted(files, key=lambda found: str(found.filename))
    for known in files:
        if not known.will_download and not intact(Path(known.local_path)):
            remove(Path(known.local_path))
    missing = [f for f in files if not os.path.exists(f.local_path)]
    count = _Count(sum(int(f.file_size or 0) for f in missing), say)
    folder = Path(load("huggingface_hub.constants").HF_HUB_CACHE)
    if count.total > (free := free_bytes(folder)):
        raise LoadError(disk_full(where["repo_id"], count.total, free))
    for wanted in missing:
        try:
            # By commit: whatever is pushed meanwhile, all files are of one revision.
            pinned = {**where, "revision": wanted.commit_hash}
            hub.hf_hub_download(**pinned, filename=wanted.filename, tqdm_class=count.bar())
        except failures() as error:
            left = count.total - count.whole
            raise explain(
                error, **_named(where), name=wanted.filename, left=left, free=free_bytes(folder)
            ) from error
        path = Path(wanted.local_path)
        if path.suffix == ".safetensors":
            say(f"checking {wanted.filename}")
        if not genuine(path):
            remove(path)
            raise LoadError(
                f"{wanted.filename} of {where['repo_id']} arrived damaged and was removed; run "
                f"again to download it anew"
            )
        count.whole += int(wanted.file_size or 0)


def _named(where: Mapping[str, str]) -> dict[str, Any]:
    return {"repo": where["repo_id"], "revision": where["revision"]}


class _Count:
    """Bytes that have arrived, of ``total``; tells ``say`` now and then."""

    def __init__(self, total: int, say: Say) -> None:
        self.total, self.whole = total, 0
        self._done, self._say, self._last = 0, say, 0.0

    def add(self, count: float | None) -> None:
        self._done += int(count or 0)
        now, complete = time.monotonic(), self._done >= self.total
        if complete or now - self._last >= SAY_EVERY_S:
            self._last = now
            self._say(f"downloading, {gib(min(self._done, self.total))} of {gib(self.total)}")

    def bar(self) -> type:
        """A stand-in for tqdm's class, as far as the hub's client uses it."""
        count = self

        class Bar:
            total: int | None = None

            def __init__(self, **_: Any) -> None: ...
            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *_: object) -> None: ...
            def close(self) -> None: ...
            def set_postfix_str(self, *_: Any, **__: Any) -> None: ...
            def set_transfer_postfix_str(self, *_: Any, **__: Any) -> None: ...
            def update(self, n: float | None = 1) -> None:
                count.add(n)

            def update_transfer(self, n: float | None = 1) -> None:
                """Compressed bytes of the transfer: the same progress, told once already."""

        return Bar


def _cached(
    hub: Any, request: Mapping[str, Any], weights: Collection[str], whole: bool = True
) -> Path | None:
    """The cache's folder for the revision, if it has all that is wanted."""
    try:
        folder = Path(hub.snapshot_download(**request, local_files_only=True))
    except failures():
        return None
    has_index = any((folder / name).exists() for name in INDEXES)
    return (
        folder
        if (has_index or not whole) and all(holds(folder / part) for part in weights)
        else None
    )


def _folder(files: Collection[Any]) -> Path:
    """The snapshot folder that ``files`` lie in; one that has nothing where there are none."""
    for found in files:
        path: Path = Path(found.local_path).parents[found.filename.count("/")]
        return path
    return Path(os.devnull)
