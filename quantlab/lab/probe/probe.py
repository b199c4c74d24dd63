"""The probe: every capability of every scheme that is installed here, tried for real.

One process for each scheme; after a crash or a hang one for each capability that is left, so that
each gets its answer. Every cell has a time limit and the process a memory limit. Knows nothing of
files: what was measured before is handed in, and cells are handed out as they come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quantlab.catalog.machine import this_machine
from quantlab.catalog.read.measured import COLUMN_OF
from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import Stopped
from quantlab.lab.probe.worker import one_line
from quantlab.lab.runners.child import Child, Expired, TooMuchMemory

__all__ = ["CAPABILITIES", "LIMITS_S", "Probed", "disagrees", "documented", "probe"]

CAPABILITIES = (
    "load",
    "run",
    "save-reload",
    "compile",
    "lora",
    "offload",
    "simple-form",
    "dtype-move",
)
LIMITS_S: Mapping[str, float] = {
    "load": 420,  # quanto builds its C++ kernels on first use
    "run": 120,
    "save-reload": 120,
    "compile": 420,
    "lora": 120,
    "offload": 180,
    "simple-form": 60,
    "dtype-move": 120,
}
START_S = 180.0
"""How long the imports may take before the first capability starts."""
STOP_S = 0.5
"""How often a probe looks whether it is to stop."""
CHILD = "quantlab.lab.probe.worker"


@dataclass(frozen=True)
class Probed:
    """One cell: what the catalogue says, and what was measured here.

    ``seconds`` is what the try took, ``limit_s`` what it was given; None where nothing was tried.
    """

    scheme: str
    capability: str
    documented: str | None
    measured: str
    detail: str
    seconds: float
    component: str = "transformer"
    limit_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def documented(scheme: Scheme, capability: str, catalog: Catalog | None = None) -> str | None:
    """What the catalogue claims: a cell's value, or None where no column matches.

    ``run`` is the column of this machine's hardware, ``load`` is "on-the-fly", ``lora`` is "lora",
    ``save-reload`` is "serializable"; the simple form is part of the scheme's own facts.
    """
    if capability == "simple-form":
        return "no" if scheme.simple is None else "yes"
    column = this_machine().hardware[-1] if capability == "run" else COLUMN_OF.get(capability)
    if column is None:
        return None
    return (catalog or load_catalog()).methods[scheme.method].cell(column, scheme).value


def disagrees(cell: Probed) -> bool:
    """Whether measurement and catalogue say the opposite of each other."""
    claims = {"yes": ("no", "error"), "no": ("yes",)}
    return cell.measured in claims.get(cell.documented or "", ())


def probe(
    jobs: Mapping[str, Sequence[str]],
    *,
    component: str = "transformer",
    say: Callable[[str], None] = lambda _: None,
    stop: threading.Event | None = None,
    limits_s: Mapping[str, float] = LIMITS_S,
    limit_bytes: int | None = None,
    child: str = CHILD,
) -> Iterator[Probed]:
    """Try each capability of each scheme; cells come as they are measured.

    Args:
        jobs: scheme -> the capabilities to try on it.
        say: is told what is being tried.
        stop: when it is set, the process under way is ended and no more cells come.
        limits_s: seconds for each capability.
        limit_bytes: resident memory of a process and all that it starts; None is no limit.
        child: the module that is run as the process.
    """
    watch = _Watch(limits_s, limit_bytes, stop or threading.Event())
    for scheme, capabilities in jobs.items():
        left, together = list(capabilities), True
        while left:
            batch = left if together else left[:1]
            job = {"scheme": scheme, "component": component, "capabilities": list(batch)}
            try:
                for cell in _one_process(job, watch, say, child):
                    left.remove(cell.capability)
                    yield cell
            except Stopped:
                return
            together = False


@dataclass(frozen=True)
class _Watch:
    """What a process is held to."""

    limits_s: Mapping[str, float]
    limit_bytes: int | None
    stop: threading.Event

    def next(self, child: Child, limit_s: float) -> dict[str, Any] | None:
        """``child.next``, but it raises Stopped soon after ``stop`` is set."""
        deadline = time.monotonic() + limit_s
        while True:
            if self.stop.is_set():
                raise Stopped("stopped")
            left = deadline - time.monotonic()
            try:
                return child.next(min(STOP_S, left), self.limit_bytes)
            except Expired:
                if left <= STOP_S:
                    raise


def _one_process(
    job: dict[str, Any], watch: _Watch, say: Callable[[str], None], module: str
) -> Iterator[Probed]:
    """Cells of ``job`` until its process ends; the last is an error where it ended badly."""
    under_way, left = job["capabilities"][0], list(job["capabilities"])
    limits_s, limit_s = watch.limits_s, START_S
    say(f"{job['scheme']}: starting a process")

    def failed(detail: str, seconds: float = 0) -> Probed:
        cell = {"measured": "error", "detail": detail, "seconds": seconds}
        return _cell(job, under_way, limits_s[under_way], cell)

    with Child(module, job) as child:
        while left:
            try:
                event = watch.next(child, limit_s)
            except Expired:
                yield failed(f"no answer within {limit_s:g} s", limit_s)
                return
            except TooMuchMemory:
                gib = (watch.limit_bytes or 0) / 2**30
                yield failed(f"took more than {gib:.2g} GiB of memory")
                return
            if event is None:
                yield failed(one_line(f"its process {child.how_it_ended()}"))
                return
            if "start" in event:
                under_way = event["start"]
                limit_s = limits_s[under_way]
                say(f"{job['scheme']}: {under_way}, at most {limit_s:g} s")
                continue
            left.remove(event["done"])
            yield _cell(job, event["done"], limit_s, event)


def _cell(
    job: Mapping[str, Any], capability: str, limit_s: float, found: Mapping[str, Any]
) -> Probed:
    scheme = load_catalog().schemes[job["scheme"]]
    return Probed(
        scheme=scheme.id,
        capability=capability,
        documented=documented(scheme, capability),
        measured=found["measured"],
        detail=found["detail"],
        seconds=round(found["seconds"], 3),
        component=job["component"],
        limit_s=limit_s,
    )
