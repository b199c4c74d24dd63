"""A hub on loopback: serves one folder the way the hub serves a model, faults included.

Speaks as much of the hub's protocol as its client needs to list and download a model: model info,
tree, and resolve with digests, sizes, ranges and the hub's error codes.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Faults:
    """What goes wrong. Files are named by their path in the repository."""

    gated: bool = False
    accepted_tokens: frozenset[str] = frozenset()
    cut: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The connection is cut after this many bytes, this many times."""
    corrupt: set[str] = field(default_factory=set)
    truncated: dict[str, int] = field(default_factory=dict)
    """Only this many bytes are there, and the answer claims that is all."""
    silent: set[str] = field(default_factory=set)
    """Answered with headers, and then with nothing for a second."""
    chunk_pause_s: float = 0.0
    status: int | None = None
    before: Callable[[str], None] = lambda _: None


class Hub:
    """Files of ``folder`` as the repository ``repo``, with a log of the requests."""

    def __init__(self, folder: Path, repo: str) -> None:
        self.folder, self.repo, self.faults = folder, repo, Faults()
        self.requests: list[tuple[str, str, str | None]] = []
        self.served_bytes = 0
        """Bytes of files that were sent, headers of HTTP and listings not counted."""
        self.url = ""
        self.others: list[Hub] = []
        """Further repositories at the same address."""

    @cached_property
    def files(self) -> dict[str, tuple[bytes, str]]:
        """Path -> content and digest: sha256 for weights, git's sha1 for the rest."""
        found = {}
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file()):
            data = path.read_bytes()
            large = path.suffix == ".safetensors"
            git = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False)
            digest = hashlib.sha256(data) if large else git
            found[path.relative_to(self.folder).as_posix()] = (data, digest.hexdigest())
        return found

    def tree(self) -> list[dict[str, Any]]:
        """The listing of the repository, as /api/models/REPO/tree/REV gives it."""
        rows: list[dict[str, Any]] = []
        for path, (data, digest) in self.files.items():
            row = {"type": "file", "path": path, "size": len(data), "oid": digest[:40]}
            if len(digest) == 64:
                row["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
            rows.append(row)
        return rows

    def fetched(self) -> list[str]:
        """Paths that were downloaded, in order."""
        return [path for method, path, _ in self.requests if method == "GET"]


@contextmanager
def serve(folder: Path, repo: str) -> Iterator[Hub]:
    """A hub that serves ``folder`` while the context lasts."""
    hub = Hub(folder, repo)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing: the tests look at ``Hub.requests``."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        first = type(self).hub
        for other in first.others:
            if path.startswith((f"/api/models/{other.repo}/", f"/{other.repo}/resolve/")):
                first = other
        self.hub = hub = first
        if hub.faults.status is not None:
            return self.refuse(hub.faults.status)
        api, direct = f"/api/models/{hub.repo}/", f"/{hub.repo}/resolve/"
        if not path.startswith((api, direct)):
            return self.refuse(401, "RepoNotFound", "Repository not found")
        kind, _, rest = path.removeprefix(api).removeprefix(direct).partition("/")
        revision = kind if path.startswith(direct) else rest.partition("/")[0]
        if revision not in ("main", COMMIT):
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if path.startswith(direct):
            return self.resolve(rest)
        if kind == "tree":
            return self.send_json(hub.tree())
        return self.send_json({"id": hub.repo, "sha": COMMIT, "siblings": [], "tags": []})

    def resolve(self, path: str) -> None:
        hub, faults = self.hub, self.hub.faults
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if faults.gated and token not in faults.accepted_tokens:
            return self.refuse(403 if token else 401, "GatedRepo", "Access is restricted")
        if path not in hub.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        data, digest = hub.files[path]
        if self.command == "GET":
            faults.before(path)
            self.send_file(path, data, digest)
        else:
            self.send_headers(200, digest, len(data), len(data))
            self.end_headers()
        return None

    def send_headers(self, status: int, digest: str, length: int, full: int) -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{digest}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Size", str(full))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", "application/octet-stream")

    def send_file(self, path: str, data: bytes, digest: str) -> None:
        faults, full = self.hub.faults, len(data)
        if path in faults.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        data = data[: faults.truncated.get(path, full)]
        asked = self.headers.get("Range")
        first, _, last = asked.removeprefix("bytes=").partition("-") if asked else ("0", "", "")
        start, end = int(first), min(int(last or full), len(data) - 1) + 1
        body = data[start:end]
        self.send_headers(206 if asked else 200, digest, len(body), full)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        after, times = faults.cut.get(path, (len(body), 0))
        if times > 0:
            faults.cut[path] = (after, times - 1)
            self.write(body[:after])
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if path in faults.silent:
            time.sleep(1.0)
        self.write(body)

    def write(self, body: bytes) -> None:
        try:
            for start in range(0, len(body), 1 << 20):
                self.wfile.write(body[start : start + (1 << 20)])
                self.wfile.flush()
                self.hub.served_bytes += len(body[start : start + (1 << 20)])
                time.sleep(self.hub.faults.chunk_pause_s)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send_json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: str = "", message: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()
