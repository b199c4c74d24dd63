"""The probe: every capability of every scheme that is installed here, tried for real.

One process for each scheme; after a crash or a hang one for each capability that is left, so that
each gets its answer. Every cell has a time limit and the process a memory limit. Knows nothing of
files: what was measured before is handed in, and cells are handed out as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import InputError
from quantlab.lab.child import Child, Expired, TooMuchMemory
from quantlab.lab.plan import why_not
from quantlab.lab.probe_child import one_line

__all__ = ["CAPABILITIES", "LIMITS_S", "Probed", "disagrees", "documented", "probe", "schemes_here"]

CAPABILITIES = ("load", "run", "save-reload", "compile", "lora", "offload", "simple-form")
LIMITS_S: Mapping[str, float] = {
    "load": 420,  # quanto builds its C++ kernels on first use
    "run": 120,
    "save-reload": 120,
    "compile": 420,
    "lora": 120,
    "offload": 180,
    "simple-form": 60,
}
START_S = 180.0
"""How long the imports may take before the first capability starts."""
CHILD = "quantlab.lab.probe_child"
_COLUMNS = {
    "load": "on-the-fly",
    "save-reload": "serializable",
    "compile": "compile",
    "lora": "peft",
}


@dataclass(frozen=True)
class Probed:
    """One cell: what the catalogue says, and what was measured here. ``seconds`` of the try."""

    scheme: str
    capability: str
    documented: str | None
    measured: str
    detail: str
    seconds: float
    component: str = "transformer"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def schemes_here(component: str = "transformer", catalog: Catalog | None = None) -> list[str]:
    """Ids of the schemes that flux-mini's ``component`` can hold on this machine."""
    catalog = catalog or load_catalog()
    model = catalog.models["flux-mini"]
    part = model.component(component)
    if part is None:
        names = ", ".join(c.name for c in model.components)
        raise InputError("component", f"{component!r} is not one of {names}")
    return [
        scheme.id
        for scheme in catalog.schemes.values()
        if why_not(scheme, part.library, part.cls) is None
        and here(scheme, catalog.methods[scheme.method], this_machine(), model) == "ok"
    ]


def documented(scheme: Scheme, capability: str, catalog: Catalog | None = None) -> str | None:
    """What the catalogue claims: a cell's value, or None where no column matches.

    ``run`` is the column of this machine's hardware, ``load`` is "on-the-fly", ``lora`` is "peft",
    ``save-reload`` is "serializable"; the simple form is part of the scheme's own facts.
    """
    if capability == "simple-form":
        return "no" if scheme.simple is None else "yes"
    column = this_machine().hardware[-1] if capability == "run" else _COLUMNS.get(capability)
    if column is None:
        return None
    return (catalog or load_catalog()).methods[scheme.method].cell(column, scheme).value


def disagrees(cell: Probed) -> bool:
    """Whether measurement and catalogue say the opposite of each other."""
    claims = {"yes": ("no", "error"), "no": ("yes",)}
    return cell.measured in claims.get(cell.documented or "", ())


def probe(
    schemes: Sequence[str],
    *,
    component: str = "transformer",
    capabilities: Sequence[str] = CAPABILITIES,
    known: Callable[[str, str], Probed | None] = lambda _scheme, _capability: None,
    say: Callable[[str], None] = lambda _: None,
    limits_s: Mapping[str, float] = LIMITS_S,
    limit_bytes: int | None = None,
    child: str = CHILD,
) -> Iterator[Probed]:
    """Try each capability of each scheme; cells come as they are measured.

    Args:
        known: gives a cell that need not be measured again, or None.
        say: is told what is being tried.
        limits_s: seconds for each capability.
        limit_bytes: resident memory of a process and all that it starts; None is no limit.
        child: the module that is run as the process.
    """
    for scheme in schemes:
        left = []
        for capability in capabilities:
            cell = known(scheme, capability)
            if cell is None:
                left.append(capability)
            else:
                yield cell
        together = True
        while left:
            batch = left if together else left[:1]
            say(f"{scheme}: {', '.join(batch)}")
            job = {"scheme": scheme, "component": component, "capabilities": batch}
            for cell in _one_process(job, limits_s, limit_bytes, child):
                left.remove(cell.capability)
                yield cell
            together = False


def _one_process(
    job: dict[str, Any], limits_s: Mapping[str, float], limit_bytes: int | None, module: str
) -> Iterator[Probed]:
    """Cells of ``job`` until its process ends; the last is an error where it ended badly."""
    under_way, left = job["capabilities"][0], list(job["capabilities"])
    limit_s = START_S
    with Child(module, job) as child:
        while left:
            try:
                event = child.next(limit_s, limit_bytes)
            except Expired:
                yield _cell(job, under_way, "error", f"no answer within {limit_s:g} s", limit_s)
                return
            except TooMuchMemory:
                gib = (limit_bytes or 0) / 2**30
                yield _cell(job, under_way, "error", f"took more than {gib:.2g} GiB of memory", 0)
                return
            if event is None:
                detail = one_line(f"its process {child.how_it_ended()}")
                yield _cell(job, under_way, "error", detail, 0)
                return
            if "start" in event:
                under_way = event["start"]
                limit_s = limits_s[under_way]
                continue
            left.remove(event["done"])
            yield _cell(job, event["done"], event["measured"], event["detail"], event["seconds"])


def _cell(
    job: Mapping[str, Any], capability: str, measured: str, detail: str, seconds: float
) -> Probed:
    scheme = load_catalog().schemes[job["scheme"]]
    return Probed(
        scheme=scheme.id,
        capability=capability,
        documented=documented(scheme, capability),
        measured=measured,
        detail=detail,
        seconds=round(seconds, 3),
        component=job["component"],
    )
