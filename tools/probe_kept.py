"""Renews the kept probes of this machine: data/results/probe-cpu.csv and its like of an encoder.

    python -m tools.probe_kept --no-compile
    python -m tools.probe_kept --component text_encoder_2 --schemes hqq-int4 sdnq-uint3

Without ids, whatever runs here and has only skipped cells in the file, or none; what is named is
measured again, whatever is known of it. A scheme's rows are
written as soon as it has them all, so that whoever is interrupted goes on with the same command.
Cells that nobody tried again stay as they are.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from quantlab.catalog.machine import this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.lab.probe.probe import CAPABILITIES, Probed
from quantlab.lab.probe.scope import schemes_here
from quantlab.record.probe_run import ProbeRequest, ProbeRun
from quantlab.record.probes import to_csv, write_text

__all__ = ["main", "merged", "target", "untried"]

Row = Mapping[str, str]
NAMES = {"transformer": "", "text_encoder_2": "-text-encoder"}


def target(component: str) -> Path:
    """The file of this machine's hardware and of ``component``."""
    name = f"probe-{this_machine().hardware[-1]}{NAMES[component]}.csv"
    return PROJECT / "data" / "results" / name


def untried(rows: Iterable[Row], here: Iterable[str]) -> list[str]:
    """Those of ``here`` of which ``rows`` has nothing but skipped loading."""
    known = {r["scheme"] for r in rows if r["capability"] == "load" and r["measured"] != "skipped"}
    return [scheme for scheme in here if scheme not in known]


def merged(rows: Iterable[Row], cells: Iterable[Probed], now: Mapping[str, object]) -> list[Row]:
    """``rows`` with ``cells`` in the place of what they had of the same; new ones at the end."""
    found = {_key(row): row for row in rows}
    for row in csv.DictReader(io.StringIO(to_csv(cells, now))):
        found[_key(row)] = row
    return list(found.values())


def _key(row: Row) -> tuple[str, str, str]:
    return row["scheme"], row["component"], row["capability"]


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _write(path: Path, rows: Iterable[Row]) -> None:
    rows, text = list(rows), io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def main() -> None:
    """Probe what is asked for, and keep each scheme's cells."""
    parser = argparse.ArgumentParser(description="Renew the kept probes of this machine.")
    parser.add_argument("--component", default="transformer", choices=sorted(NAMES))
    parser.add_argument("--schemes", nargs="+", help="only these; otherwise what is untried")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    asked = parser.parse_args()
    path = target(asked.component)
    rows = _read(path)
    wanted = asked.schemes or untried(rows, schemes_here(asked.component))
    if not wanted:
        print("nothing is left to try")
        return
    tried = tuple(c for c in CAPABILITIES if not (asked.no_compile and c == "compile"))
    request = ProbeRequest(asked.component, tuple(wanted), tried, fresh=bool(asked.schemes))
    run = ProbeRun(request, say=print)
    for scheme, cells in groupby(run.cells(), key=lambda cell: cell.scheme):
        found = list(cells)
        rows = merged(rows, found, run.now)
        _write(path, rows)
        print(scheme, ", ".join(f"{cell.capability} {cell.measured}" for cell in found))


if __name__ == "__main__":
    main()
