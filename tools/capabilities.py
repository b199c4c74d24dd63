"""Writes data/capabilities.csv: the catalogue's claims, one a row, for readers and viewers.

    python -m tools.capabilities            writes the file
    python -m tools.capabilities --check    exits 1 where the file is stale

A method's rows have an empty ``scheme``; a scheme's rows are those claims that differ from its
method's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from quantlab.catalog.schema import COLUMNS, Cell, Source
from quantlab.catalog.table import ROOT, load_catalog

PATH = ROOT / "data" / "capabilities.csv"
FIELDS = (
    "method",
    "scheme",
    "column",
    "value",
    "note",
    "source",
    "url",
    "checked",
    "in_2024",
    "changed",
)


def rows() -> pd.DataFrame:
    """Every claim of the catalogue, bit widths and licences included, in the catalogue's order."""
    found: list[tuple[str, ...]] = []
    for method in load_catalog().methods.values():
        found += [_row(method.id, "", c, method.cells[c]) for c in COLUMNS if c in method.cells]
        bits = method.sources[method.bits_source]
        spans = "; ".join(map(str, method.bits))
        found.append(_about(method.id, "bits", spans, bits))
        paper = method.sources[method.licence_source]
        found.append(_about(method.id, "licence", method.licence, paper))
        for scheme in method.schemes:
            own = scheme.capabilities
            found += [_row(method.id, scheme.id, c, own[c]) for c in COLUMNS if c in own]
    return pd.DataFrame(found, columns=list(FIELDS))


def _row(method: str, scheme: str, column: str, cell: Cell) -> tuple[str, ...]:
    claim = (cell.value, cell.note, cell.source, cell.url, cell.checked)
    return (method, scheme, column, *claim, cell.in_2024 or "", cell.changed)


def _about(method: str, what: str, value: str, source: Source) -> tuple[str, ...]:
    return (method, "", what, value, "", source.title, source.url, source.checked, "", "")


def text() -> str:
    """The file's content."""
    return rows().to_csv(index=False, lineterminator="\n")


def main(argv: list[str], path: Path = PATH) -> int:
    """Write or check the file; the return value is the exit status."""
    if "--check" not in argv:
        path.write_text(text(), encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == text():
        return 0
    print(f"{path.name} is stale: run python -m tools.capabilities", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
