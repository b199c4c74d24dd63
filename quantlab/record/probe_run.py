"""A probe from its first cell to its last: reuses what is known, keeps what is new.

What is known comes first, then what is measured, then a skipped cell for each scheme that cannot
be tried on this machine: of those that were asked for, or of all. A "yes" is known only while its
libraries can be imported. The command line and the page both go through here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantlab.catalog.table import load_catalog
from quantlab.errors import StoreError
from quantlab.lab.probe.imports import broken, modules_of
from quantlab.lab.probe.probe import CAPABILITIES, CHILD, Probed, probe
from quantlab.lab.probe.scope import capabilities_of, chosen, left_out
from quantlab.record.probes import ProbeLog, circumstances
from quantlab.words.numbers import above_zero
from quantlab.words.units import GIB

__all__ = ["ProbeRequest", "ProbeRun"]

UNCHANGED = "scheme, library versions and machine are unchanged since they were measured"


MOST_GIB = 2.0**20
"""Of memory that a process is held to; more than any machine has."""


@dataclass(frozen=True)
class ProbeRequest:
    """What to probe. No ``schemes`` stands for all that can be tried on ``component`` here."""

    component: str = "transformer"
    schemes: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = CAPABILITIES
    fresh: bool = False
    """Measure again what is known."""
    memory_gib: float = 8.0
    """Limit of each process and what it starts."""


class ProbeRun:
    """One probe on this machine. Importing torch to name the device makes building it slow.

    Raises:
        InputError: a scheme, component or limit that cannot be.

    ``asks_imports`` is whether what is known is held against what can be imported now, which takes
    a process that imports it.
    """

    def __init__(
        self,
        request: ProbeRequest,
        *,
        say: Callable[[str], None] = lambda _: None,
        stop: threading.Event | None = None,
        asks_imports: bool = True,
    ) -> None:
        above_zero("memory-gib", request.memory_gib, MOST_GIB)
        self._request, self._say = request, say
        self._stop = stop or threading.Event()
        wanted = chosen(list(request.schemes) or None, request.component)
        self._jobs = {scheme: self._capabilities(scheme) for scheme in wanted}
        self.now: Mapping[str, Any] = circumstances()
        self._log = ProbeLog(now=self.now)
        self._keeps = True
        self.known = [] if request.fresh else self._known()
        if asks_imports:
            self.known = _still(self.known)
        self.total = sum(len(names) for names in self._jobs.values())

    def _capabilities(self, scheme: str) -> list[str]:
        able = capabilities_of(scheme, self._request.component)
        return [name for name in able if name in self._request.capabilities]

    def _known(self) -> list[Probed]:
        found = (
            self._log.find(scheme, capability, self._request.component)
            for scheme, names in self._jobs.items()
            for capability in names
        )
        return [cell for cell in found if cell is not None]

    def reused(self) -> str:
        """How much was known and why it holds, or nothing where all is measured."""
        if not self.known:
            return ""
        return f"{len(self.known)} of {self.total} cells reused: {UNCHANGED}"

    def cells(self) -> Iterator[Probed]:
        """Every cell as it comes; fewer where the probe is stopped."""
        if self._log.damaged:
            self._say("what was kept of earlier probes is damaged; measuring anew")
        yield from self.known
        for cell in probe(
            self._left(),
            component=self._request.component,
            say=self._say,
            stop=self._stop,
            limit_bytes=int(self._request.memory_gib * GIB),
            child=CHILD,
        ):
            self._keep(cell)
            yield cell
        out = left_out(self._request.component)
        if self._request.schemes:
            yield from (cell for cell in out if cell.scheme in self._request.schemes)
        elif "load" in self._request.capabilities:
            yield from out

    def _left(self) -> dict[str, Sequence[str]]:
        known = {(cell.scheme, cell.capability) for cell in self.known}
        left = {s: [n for n in names if (s, n) not in known] for s, names in self._jobs.items()}
        return {scheme: names for scheme, names in left.items() if names}

    def _keep(self, cell: Probed) -> None:
        try:
            if self._keeps:
                self._log.add(cell)
        except StoreError as error:
            self._keeps = False
            self._say(f"cells are not kept: {error}")


def _still(known: list[Probed]) -> list[Probed]:
    """``known`` without a "yes" whose libraries broke since."""
    catalog = load_catalog()
    needed = [
        modules_of(catalog.methods[catalog.schemes[cell.scheme].method])
        if cell.measured == "yes"
        else []
        for cell in known
    ]
    gone = broken(name for names in needed for name in names)
    pairs = zip(known, needed, strict=True)
    return [cell for cell, names in pairs if not gone.intersection(names)]
