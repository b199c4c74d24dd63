"""The command probe: progress on stderr, the table or the JSON document on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from quantlab.errors import InputError, StoreError
from quantlab.lab.probe import CAPABILITIES, Probed, disagrees, probe, schemes_here
from quantlab.record.probes import ProbeLog, circumstances, to_csv, write_text

__all__ = ["run_probe"]

GIB = 2**30


def run_probe(arguments: argparse.Namespace) -> None:
    """Probe this machine.

    Raises:
        InputError: an unknown scheme or component, or one that is not installed here.
    """
    schemes = _schemes(arguments.schemes, arguments.component)
    capabilities = [
        name
        for name in CAPABILITIES
        if (arguments.component == "transformer" or name in ("load", "run"))
        and not (arguments.no_compile and name == "compile")
    ]
    if not 0 < arguments.memory_gib < float("inf"):
        raise InputError("memory-gib", f"{arguments.memory_gib:g}; more than 0 is needed")
    now = circumstances()
    keep = _Keeper(ProbeLog(now=now), arguments, len(schemes) * len(capabilities))
    cells = []
    for cell in probe(
        schemes,
        component=arguments.component,
        capabilities=capabilities,
        known=keep.find,
        say=lambda text: _say(f"probing {text}"),
        limit_bytes=int(arguments.memory_gib * GIB),
    ):
        keep.add(cell)
        cells.append(cell)
    keep.sum_up()
    cells.sort(key=lambda cell: not disagrees(cell))  # stable: disagreements first
    if arguments.out is not None:
        write_text(arguments.out, to_csv(cells, now))
    if arguments.json:
        json.dump([cell.as_dict() for cell in cells], sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _probe_table(cells)


def _schemes(asked: Sequence[str] | None, component: str) -> list[str]:
    able = schemes_here(component)
    if asked is None:
        return able
    from quantlab.catalog.machine import here, this_machine
    from quantlab.catalog.table import load_catalog

    catalog = load_catalog()
    for name in asked:
        scheme = catalog.schemes.get(name)
        if scheme is None:
            raise InputError("schemes", f"unknown scheme {name[:40]!r}")
        if name not in able:
            model = catalog.models["flux-mini"]
            said = here(scheme, catalog.methods[scheme.method], this_machine(), model)
            reason = f"cannot be used on {component}" if said == "ok" else f"is {said}"
            raise InputError("schemes", f"{name} {reason}")
    return list(dict.fromkeys(asked))


class _Keeper:
    """Keeps cells as they come and tells of each; where keeping fails, says so once."""

    def __init__(self, log: ProbeLog, arguments: argparse.Namespace, total: int) -> None:
        self._log, self._fresh, self._total = log, arguments.fresh, total
        self._component: str = arguments.component
        self._known: set[tuple[str, str]] = set()
        self._done, self._keeps = 0, True
        if log.damaged:
            _say("what was kept of earlier probes is damaged; measuring anew")

    def find(self, scheme: str, capability: str) -> Probed | None:
        if self._fresh:
            return None
        cell = self._log.find(scheme, capability, self._component)
        if cell is not None:
            self._known.add((scheme, capability))
        return cell

    def add(self, cell: Probed) -> None:
        self._done += 1
        if (cell.scheme, cell.capability) in self._known:
            return
        place = f"[{self._done}/{self._total}] {cell.scheme} {cell.capability}"
        _say(f"{place}: {cell.measured} ({cell.detail})")
        try:
            if self._keeps:
                self._log.add(cell)
        except StoreError as error:
            self._keeps = False
            _say(f"cells are not kept: {error}")

    def sum_up(self) -> None:
        if self._known:
            _say(
                f"{len(self._known)} of {self._total} cells reused: scheme, library versions and "
                "machine are unchanged since they were measured (--fresh measures again)"
            )


def _probe_table(cells: Sequence[Probed]) -> None:
    print(f"{'scheme':16} {'capability':12} {'documented':11} {'measured':9} {'s':>7}  detail")
    for cell in cells:
        mark = "!" if disagrees(cell) else " "
        print(
            f"{cell.scheme:16} {cell.capability:12} {cell.documented or '-':11} "
            f"{cell.measured:8}{mark} {cell.seconds:7.1f}  {cell.detail}"
        )


def _say(text: str) -> None:
    print(f"quantlab: {text}", file=sys.stderr, flush=True)
