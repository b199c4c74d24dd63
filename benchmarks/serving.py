"""A served page for benchmarks: ``python app.py`` with a folder of its own, and what it takes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from quantlab.catalog.paths import PROJECT

__all__ = ["PROMPT", "Call", "Served", "call_of", "compare", "p95", "serving"]

PROMPT = "a red apple on a blue background"
LIMIT_S = 120.0
POLL_S = 0.02
STILL = 6
"""Seconds in a row in which a server that rests computes for less than 0.1 s."""


@dataclass(frozen=True)
class Served:
    """Address, process and log of a page."""

    url: str
    pid: int
    log: Path

    @property
    def rss_bytes(self) -> int:
        """Resident bytes of the server, and of the process beside it, now."""
        return sum(int(each.memory_info().rss) for each in self._processes())

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(self.pid)
        return [server, *server.children(recursive=True)]

    def _computed_s(self) -> float:
        return float(sum(sum(each.cpu_times()[:2]) for each in self._processes()))

    def rest(self) -> None:
        """Wait until the server computes next to nothing: what it does ahead is done, and what was
        freed is given back."""
        until, still = time.monotonic() + LIMIT_S, 0
        while still < STILL and time.monotonic() < until:
            before = self._computed_s()
            time.sleep(1)
            still = still + 1 if self._computed_s() - before < 0.1 else 0


@contextmanager
def serving(**more: str) -> Iterator[Served]:
    """Serve the page from a fresh process with an empty store, and end it; ``more`` is added to
    its environment. Python keeps what it has compiled, as it does by default."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory(prefix="quantlab-benchmark-") as folder:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""} | {
            "QUANTLAB_DATA": f"{folder}/data",
            "GRADIO_TEMP_DIR": f"{folder}/gradio",
            "GRADIO_SERVER_PORT": str(port),
            **more,
        }
        log = Path(folder) / "log"
        with (
            log.open("wb") as written,
            subprocess.Popen(
                [sys.executable, "app.py"],
                cwd=PROJECT,
                env=environment,
                stdout=written,
                stderr=written,
            ) as server,
        ):
            try:
                _wait_for(url, server)
                yield Served(url, server.pid, log)
            finally:
                server.terminate()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    started = time.perf_counter()
    while time.perf_counter() - started < LIMIT_S and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_S)
    raise SystemExit(f"no page within {LIMIT_S:.0f} s")


@dataclass(frozen=True)
class Call:
    """A handler of the page: its number and the values that it is sent at first."""

    index: int
    data: tuple[Any, ...]


def call_of(config: Mapping[str, Any], wanted: Callable[[Any], bool], **instead: object) -> Call:
    """The event that is ``wanted``, with the values that a fresh page would send; ``instead`` has
    those of controls by the name that their elements have on the page, without its ``ql-``."""
    values = {each["id"]: each["props"].get("value") for each in config["components"]}
    for each in config["components"]:
        if each["type"] == "state":
            values[each["id"]] = None
        name = str(each["props"].get("elem_id")).removeprefix("ql-")
        values[each["id"]] = instead.get(name, values[each["id"]])
    found = next(each for each in config["dependencies"] if wanted(each))
    return Call(found["id"], tuple(values[each] for each in found["inputs"]))


def compare(client: Any, plans: Sequence[str], *, seed: int = 0, steps: int = 1) -> Any:
    """One small comparison over the page's API; ``client`` is a gradio_client."""
    return client.predict(
        plans=list(plans),
        prompt=PROMPT,
        seed=seed,
        steps=steps,
        width=64,
        height=64,
        api_name="/compare",
    )


def p95(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
