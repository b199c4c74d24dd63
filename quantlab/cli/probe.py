"""The command probe: progress on stderr, the table or the JSON document on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from quantlab.cli.admit import check_file
from quantlab.lab.probe.probe import CAPABILITIES, Probed, disagrees
from quantlab.record.probe_run import ProbeRequest, ProbeRun
from quantlab.record.probes import to_csv, write_text

__all__ = ["run_probe"]


def run_probe(arguments: argparse.Namespace) -> None:
    """Probe this machine.

    Raises:
        InputError: an unknown scheme or component.
    """
    check_file("out", arguments.out, ".csv")
    request = ProbeRequest(
        component=arguments.component,
        schemes=tuple(arguments.schemes or ()),
        capabilities=tuple(
            name for name in CAPABILITIES if not (arguments.no_compile and name == "compile")
        ),
        fresh=arguments.fresh,
        memory_gib=arguments.memory_gib,
    )
    run = ProbeRun(request, say=_say)
    cells = []
    for cell in run.cells():
        cells.append(cell)
        if len(run.known) < len(cells) <= run.total:
            place = f"[{len(cells)}/{run.total}] {cell.scheme} {cell.capability}"
            _say(f"{place}: {cell.measured} ({cell.detail})")
    if run.known:
        _say(f"{run.reused()} (--fresh measures again)")
    cells.sort(key=lambda cell: not disagrees(cell))  # stable: disagreements first
    if arguments.out is not None:
        write_text(arguments.out, to_csv(cells, run.now))
    if arguments.json:
        json.dump([cell.as_dict() for cell in cells], sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _probe_table(cells)


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
