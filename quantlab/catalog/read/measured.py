"""What probes measured of the catalogue's columns: data/results/probe-HARDWARE*.csv.

Measured outranks documented where it is about the same thing. A LoRA, saving and quantizing while
loading are the same code on every device, so a probe on a CPU speaks for a GPU too; running and
compiling are not. Where the library itself quantizes on a CPU, in place of diffusers, nothing of
that carries over. The files hold more (versions, seconds): quantlab/record/probes.py reads them
whole, for the page.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import HARDWARE, Scheme, Support
from quantlab.errors import CatalogError

__all__ = ["COLUMN_OF", "Finding", "findings_for", "load_findings", "this_machines"]

COLUMN_OF: Mapping[str, str] = {
    "load": "on-the-fly",
    "save-reload": "serializable",
    "compile": "compile",
    "lora": "lora",
}
"""Capability that a probe tries -> the column that claims it. "run" is that of the hardware."""
_ON_EVERY_DEVICE = ("lora", "serializable", "on-the-fly")
_LIBRARY = {"transformer": "diffusers"}
"""Component -> the library that loads it; the others, text encoders, are transformers'."""


@dataclass(frozen=True)
class Finding:
    """One measured cell. ``where`` is the machine and the date; ``hardware`` a column's name, None
    for the machine that this runs on."""

    column: str
    value: Support
    detail: str
    where: str
    hardware: str | None


Findings = Mapping[tuple[str, str], tuple[Finding, ...]]
"""(scheme, library) -> what was measured of it."""


@lru_cache(maxsize=4)
def load_findings(folder: Path | None = None) -> Findings:
    """All that was kept under ``folder``/data/results; None takes the project's own.

    Raises:
        CatalogError: a file is not the table of a probe.
    """
    found: dict[tuple[str, str], tuple[Finding, ...]] = {}
    results = (folder or PROJECT) / "data" / "results"
    for path in sorted(results.glob("probe-*.csv")):
        for key, finding in _rows(path):
            found[key] = (*found.get(key, ()), finding)
    return found


def _rows(path: Path) -> Iterator[tuple[tuple[str, str], Finding]]:
    hardware = path.stem.split("-")[1]
    if hardware not in HARDWARE:
        raise CatalogError(f"{path.name}: expected probe-HARDWARE, one of {', '.join(HARDWARE)}")
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                capability, value = row["capability"], row["measured"]
                column = hardware if capability == "run" else COLUMN_OF.get(capability)
                if column is None or value not in ("yes", "no"):
                    continue
                where = f"{row['machine']}, {row['measured_on']}"
                key = (row["scheme"], _LIBRARY.get(row["component"], "transformers"))
                answer = cast("Support", value)
                yield key, Finding(column, answer, row["detail"], where, hardware)
    except (OSError, KeyError) as error:
        raise CatalogError(f"{path.name}: is not the table of a probe: {error}") from error


def findings_for(scheme: Scheme, library: str | None, hardware: str | None) -> dict[str, Finding]:
    """Column -> what was measured of ``scheme`` and speaks for ``hardware``.

    ``library`` is what loads the component; None asks about the pipeline's own, diffusers.
    """
    mine = load_findings().get((scheme.id, library or "diffusers"), ())
    told = [finding for finding in mine if _speaks_for(finding, scheme, hardware)]
    return {f.column: _with_rule(f, scheme) if f.column == "lora" else f for f in told}


def _speaks_for(finding: Finding, scheme: Scheme, hardware: str | None) -> bool:
    if finding.hardware == hardware:
        return True
    elsewhere = finding.hardware == "cpu" and scheme.on_cpu == "library"
    return finding.column in _ON_EVERY_DEVICE and not elsewhere


def _with_rule(finding: Finding, scheme: Scheme) -> Finding:
    """The probe trains a LoRA; whether a stored one can be loaded is the scheme's own rule."""
    trains = finding.value == "yes"
    if scheme.lora is None:
        return finding
    if scheme.lora.way == "before":
        said = "a stored one is fused into the weights before they are quantized"
        return replace(finding, value="partial", detail=f"{finding.detail}; {said}")
    if trains:
        return finding
    return replace(finding, value="partial", detail=f"{finding.detail}; a stored one is carried")


def this_machines(answers: Mapping[str, Support]) -> dict[str, Finding]:
    """Column -> the answer of a probe on this machine, which outranks one made elsewhere."""
    return {
        column: Finding(column, value, "", "this machine", None)
        for column, value in answers.items()
    }
