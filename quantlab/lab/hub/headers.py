"""A repository of the hub, read by its configs and safetensors headers: no weights are fetched.

A header is got by two range requests: its length, then itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from quantlab.catalog.own.headers import (
    INDEXES,
    LENGTH_BYTES,
    MAX_TEXT_BYTES,
    Header,
    header_length,
    parse_header,
)
from quantlab.errors import Damaged, LoadError
from quantlab.lab.hub import snapshot as hub
from quantlab.lab.hub.errors import explain
from quantlab.lab.libraries import load

__all__ = ["Repository", "in_cache"]

PARTIAL = 206
_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")


class Repository:
    """Files of ``repo`` at one commit: what ``catalog.own.describe`` describes a model from.

    Raises (all methods):
        LoadError: the hub refuses.
        Damaged: a file is damaged.
        Unavailable: the hub cannot be reached.
    """

    local = False

    def __init__(self, repo: str, revision: str) -> None:
        self.repo = repo
        what = {"allow_patterns": list(INDEXES), "dry_run": True}
        try:  # notes in the cache which commit the revision is, for offline use
            files = hub.client().snapshot_download(repo, revision=revision, **what)
        except hub.failures() as error:
            raise explain(error, repo, revision) from error
        self.commit = str(files[0].commit_hash) if files else ""
        """Empty where the repository holds no pipeline."""

    def text(self, name: str) -> bytes | None:
        """See ``catalog.own.headers.Files``."""
        if not self.commit:
            return None
        try:
            if self._download(name, dry_run=True).file_size > MAX_TEXT_BYTES:
                raise Damaged(f"{name} of {self.repo} is larger than any file of its kind")
            return Path(self._download(name)).read_bytes()
        except load("huggingface_hub.errors").RemoteEntryNotFoundError:
            return None
        except hub.failures() as error:
            raise explain(error, self.repo, self.commit, name) from error

    def _download(self, name: str, **more: Any) -> Any:
        return hub.client().hf_hub_download(self.repo, name, revision=self.commit, **more)

    def header(self, name: str) -> Header | None:
        """See ``catalog.own.headers.Files``."""
        try:
            first, size = self._range(name, 0, LENGTH_BYTES)
            length = header_length(first, size, name)
            return parse_header(self._range(name, LENGTH_BYTES, length)[0], size, name)
        except load("huggingface_hub.errors").RemoteEntryNotFoundError:
            return None
        except hub.failures() as error:
            raise explain(error, self.repo, self.commit, name) from error

    def names(self, folder: str) -> Collection[str]:
        """See ``catalog.own.headers.Files``."""
        within = [name.rpartition("/") for name in self._all]
        return {name for where, _, name in within if where == folder}

    @cached_property
    def _all(self) -> Sequence[str]:
        """The names of all files, by one request."""
        try:
            found = hub.client().HfApi().list_repo_files(self.repo, revision=self.commit)
        except hub.failures() as error:
            raise explain(error, self.repo, self.commit) from error
        return [str(name) for name in found]

    def _range(self, name: str, start: int, count: int) -> tuple[bytes, int]:
        """``count`` bytes from ``start`` of a file, and the bytes of the whole of it."""
        utils = load("huggingface_hub.utils")
        url = hub.client().hf_hub_url(self.repo, name, revision=self.commit)
        headers = utils.build_hf_headers() | {"Range": f"bytes={start}-{start + count - 1}"}
        timeout = load("huggingface_hub.constants").HF_HUB_DOWNLOAD_TIMEOUT
        with utils.http_stream_backoff("GET", url, headers=headers, timeout=timeout) as response:
            utils.hf_raise_for_status(response)
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status_code != PARTIAL or found is None:
                raise LoadError(f"the hub does not give parts of {name} of {self.repo}")
            content = b""
            for piece in response.iter_bytes():
                content += piece
                if len(content) > count:
                    break
        if len(content) != count:
            raise LoadError(f"{name} of {self.repo} arrived cut short; run again")
        return content, int(found[1])


def in_cache(repo: str, revision: str) -> Path | None:
    """The folder of the hub's cache that holds ``repo`` at ``revision``; the hub is not asked."""
    where = {"repo_id": repo, "revision": revision, "local_files_only": True}
    what = {"allow_patterns": [*hub.SMALL, "*/*.safetensors"], "ignore_patterns": [*hub.VARIANTS]}
    try:
        folder = Path(hub.client().snapshot_download(**where, **what))
    except hub.failures():
        return None
    return folder if any((folder / name).exists() for name in INDEXES) else None
