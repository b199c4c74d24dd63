"""Probes that were made: kept so that a second one reuses them, and as a table with provenance.

The file ``probe.json`` in the data folder holds cells with what they depend on; a cell whose
scheme, library versions, quantlab version and machine are unchanged is not measured again. A
damaged file is begun anew: everything in it can be measured again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import quantlab
from quantlab.catalog.machine import this_machine
from quantlab.catalog.paths import PROJECT, data_folder, whole_file
from quantlab.catalog.table import load_catalog
from quantlab.errors import CatalogError, StoreError
from quantlab.lab.device import this_device
from quantlab.lab.libraries import versions
from quantlab.lab.probe.probe import Probed, documented

__all__ = [
    "Kept",
    "ProbeLog",
    "circumstances",
    "kept_probes",
    "read_csv",
    "to_csv",
    "write_text",
]

FILE = "probe.json"
VERSION = 1


@dataclass(frozen=True)
class Kept:
    """A cell of an earlier probe, where and with what it was measured. ``measured_on``: a date."""

    cell: Probed
    machine: str
    versions: Mapping[str, str]
    measured_on: str


def circumstances() -> dict[str, Any]:
    """The machine in words, and the versions, that a probe on this machine depends on."""
    info = this_device().info()
    gib = int(info["memory_bytes"]) / 2**30
    machine = f"{info['name']}, {os.cpu_count()} cores, {info['system']}"
    if info["kind"] != "cpu":
        machine += f", {info['kind']} {gib:.0f} GiB"
    return {
        "machine": machine + ("" if this_machine().compiler else ", no C++ compiler"),
        "versions": {"quantlab": quantlab.__version__, **versions(), **_peft()},
    }


def _peft() -> dict[str, str]:
    version = this_machine().version("peft")
    return {} if version is None else {"peft": version}


class ProbeLog:
    """What was measured under the present circumstances, in ``folder``/probe.json."""

    def __init__(self, folder: Path | None = None, now: Mapping[str, Any] | None = None) -> None:
        self._path = (folder or data_folder()) / FILE
        self._now = dict(now or circumstances())
        self.damaged = False
        self._cells = self._read()

    def find(self, scheme: str, capability: str, component: str = "transformer") -> Probed | None:
        """The cell measured before under the same circumstances, or None."""
        entry = self._cells.get(self._key(scheme, capability, component))
        if entry is None:
            return None
        facts = load_catalog().schemes[scheme]
        # The claim is the catalogue's of today; only the measurement is old.
        return replace(Probed(**entry), documented=documented(facts, capability))

    def add(self, cell: Probed) -> None:
        """Keep ``cell``; the file is replaced as a whole or not at all.

        Raises:
            StoreError: it cannot be written.
        """
        self._cells = {**self._read(), **self._cells}  # another probe may have added to it
        self._cells[self._key(cell.scheme, cell.capability, cell.component)] = cell.as_dict()
        write_text(self._path, json.dumps({"version": VERSION, "cells": self._cells}))

    def _key(self, scheme: str, capability: str, component: str) -> str:
        # What is claimed of a scheme does not change what is measured.
        facts = replace(load_catalog().schemes[scheme], capabilities={}, note="")
        about = [repr(facts), self._now["machine"], self._now["versions"]]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        return f"{component}/{scheme}/{capability}/{digest}"

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            if data["version"] != VERSION:
                return {}
            return {str(key): Probed(**value).as_dict() for key, value in data["cells"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self.damaged = True
            return {}


_COLUMNS = (
    "scheme",
    "component",
    "capability",
    "documented",
    "measured",
    "detail",
    "seconds",
    "limit_s",
)


def to_csv(cells: Iterable[Probed], now: Mapping[str, Any], measured_on: str | None = None) -> str:
    """One line a cell, with machine, date (UTC) and a column for every library's version."""
    installed: Mapping[str, str] = now["versions"]
    date = measured_on or datetime.now(UTC).date().isoformat()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, "machine", "measured_on", *installed])
    for cell in cells:
        values = cell.as_dict()
        row = ["" if values[name] is None else values[name] for name in _COLUMNS]
        writer.writerow([*row, now["machine"], date, *installed.values()])
    return text.getvalue()


def read_csv(path: Path) -> list[Kept]:
    """What ``to_csv`` wrote.

    Raises:
        CatalogError: the file is not such a table.
    """
    kept = []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                row.setdefault("limit_s", "")  # tables of the first probes have no limits
                values: dict[str, Any] = {name: row.pop(name) for name in _COLUMNS}
                values["seconds"] = float(values["seconds"])
                values["limit_s"] = float(values["limit_s"]) if values["limit_s"] else None
                values["documented"] = values["documented"] or None
                machine, date = row.pop("machine"), row.pop("measured_on")
                kept.append(Kept(Probed(**values), machine, row, date))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise CatalogError(f"{path.name}: is not a table of a probe: {error}") from error
    return kept


@cache
def kept_probes() -> tuple[Kept, ...]:
    """The cells that come with the project, of the machine that its tests run on.

    Raises:
        CatalogError: a file is not the table of a probe.
    """
    files = sorted((PROJECT / "data" / "results").glob("probe-*.csv"))
    return tuple(kept for file in files for kept in read_csv(file))


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise StoreError(f"{path.name} cannot be written: {error.strerror}") from error
