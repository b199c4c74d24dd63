"""Tries every scheme that runs on a CPU on the tiny twins of models, and keeps what came of it.

    python -m tools.twins.schemes MODEL [MODEL ...] [--components transformer text_encoder]

Writes data/results/twins.csv, a row for each model, component and scheme: whether it loads, holds
what was asked and makes a picture, how far one step of the denoiser is off, bytes stored and
predicted; or why it fails. That is measured on a twin: a few layers with random weights, whose
distances say nothing of the real model's. Schemes of a component share a process; where one ends
it, that is its result and the next one has a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from quantlab.catalog.models.schema import Model
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.reach import why_not
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.libraries import versions
from quantlab.lab.runners.child import Child, Expired
from tools.twins.families import FAMILIES
from tools.twins.save import build

__all__ = ["main"]

FILE = PROJECT / "data" / "results" / "twins.csv"
KEY = ("model", "component", "scheme")
MEASURED = ("measured", "detail", "denoiser_rel_l2", "psnr_db", "stored_bytes", "predicted_bytes")
LIMIT_S = 600.0


def main(argv: list[str] | None = None) -> int:
    """Try them; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="+", help="ids of models that have a twin")
    parser.add_argument("--components", nargs="*", help="default: denoiser and text encoders")
    parser.add_argument("--schemes", nargs="*", help="default: all that run on a CPU")
    given = parser.parse_args(argv)
    catalog = load_catalog()
    for model_id in given.models:
        model = catalog.models[model_id]
        names = given.components or [*model.family.denoisers, *model.family.encoders]
        for name in names:
            for row in _rows(model, name, given.schemes or _schemes(model, name, catalog)):
                _keep(row)
                print(*(row.get(key, "") for key in (*KEY, *MEASURED)), file=sys.stderr)
    return 0


def _schemes(model: Model, component: str, catalog: Catalog) -> list[str]:
    """The schemes that exist for a component and run on a CPU."""
    known = model.component(component)
    if known is None:
        return []
    found = (s for s in catalog.schemes.values() if s.on_cpu != "no" and not s.layers)
    return [s.id for s in found if why_not(s, known.library, known.cls) is None]


def _rows(model: Model, component: str, schemes: list[str]) -> Iterator[dict[str, Any]]:
    family = model.family.id
    twin = f"{family}-base" if f"{family}-base" in FAMILIES and not model.distilled else family
    about = {"measured_on": date.today().isoformat(), **versions()}
    with tempfile.TemporaryDirectory() as folder:
        build(twin, Path(folder) / "twin")
        left = list(schemes)
        while left:
            job = {"model": model.id, "component": component, "folder": folder, "schemes": left}
            for found in _one_process(job):
                left = left[left.index(found["scheme"]) + 1 :]
                yield {"model": model.id, "component": component, **found, **about}


def _one_process(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What each scheme gave, until all are through or one ends the process."""
    with Child("tools.twins.trial", job) as child:
        under_way = job["schemes"][0]
        while True:
            try:
                event = child.next(LIMIT_S)
            except Expired:
                yield _failed(under_way, f"gave no answer in {LIMIT_S:.0f} s")
                return
            if event is None:
                said = child.how_it_ended()
                if under_way is not None:
                    yield _failed(under_way, f"the process {said}")
                return
            if "done" in event:
                scheme, under_way = event.pop("done"), None
                yield {"scheme": scheme, **event}
            else:
                under_way = event.get("start", under_way)


def _failed(scheme: str, detail: str) -> dict[str, Any]:
    return {"scheme": scheme, "measured": "no", "detail": detail}


def _keep(row: dict[str, Any]) -> None:
    """Put a row into the file in the place of an older one of the same key."""
    rows = []
    if FILE.exists():
        with FILE.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    key = tuple(row[name] for name in KEY)
    rows = [known for known in rows if tuple(known[name] for name in KEY) != key]
    rows.append({name: str(value) for name, value in row.items()})
    rows.sort(key=lambda known: tuple(known[name] for name in KEY))
    names = dict.fromkeys([*KEY, *MEASURED, *(name for known in rows for name in known)])
    with FILE.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(names), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
