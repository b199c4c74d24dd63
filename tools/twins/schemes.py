"""Tries every scheme that runs on a CPU on the twin of every family, and keeps what came of it.

    python -m tools.twins.schemes                    whatever the file does not have yet
    python -m tools.twins.schemes --seconds 240      the same, and ends after so long; run it again
    python -m tools.twins.schemes sdxl --anew        of one model, measured again
    python -m tools.twins.schemes --components transformer --schemes bnb-nf4

Writes data/results/twins.csv, a row for each model, component and scheme: whether it loads, holds
what was asked and makes a picture, how far one step of the denoiser is off, bytes stored and
predicted, and how wide the twin was; or why it fails; neither where even the widest twin is too
narrow. A family is tried by the model that lists name first. That is measured on a twin: a few
layers with random weights, whose distances say nothing of the real model's.
All share one process, since to import its libraries takes as long as a dozen of them; where one
ends it, that is its result and those after it have another.
SDNQ compiles what it multiplies with, which takes longer than all else; SDNQ_USE_TORCH_COMPILE=0,
its own switch, has it run as it does where no compiler is.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from quantlab.catalog.machine import missing_packages, this_machine
from quantlab.catalog.models.schema import Model
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.reach import why_not
from quantlab.catalog.read.twins import KEY, MEASURED, TWINS
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.libraries import versions
from quantlab.lab.runners.child import Child, Expired
from tools.twins.model import twin_of

__all__ = ["main", "stand_for"]

Trial = tuple[str, str, str]
"""The ids of a model, one of its components and a scheme."""
FILE = PROJECT / "data" / "results" / TWINS
LIMIT_S = 600.0


def main(argv: list[str] | None = None) -> int:
    """Try them; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", help="ids of models; default: one of every family")
    parser.add_argument("--components", nargs="*", help="default: denoiser and text encoders")
    parser.add_argument("--schemes", nargs="*", help="of those that run on a CPU; default: all")
    parser.add_argument("--anew", action="store_true", help="also those that the file has")
    parser.add_argument("--seconds", type=float, help="start no other scheme after so long")
    given = parser.parse_args(argv)
    catalog = load_catalog()
    end = None if given.seconds is None else time.monotonic() + given.seconds
    named = [catalog.models[name] for name in given.models]
    models = named or list(stand_for(catalog).values())
    left = []
    for model, name in _components(models, given.components):
        known = set() if given.anew else {row["scheme"] for row in _kept(model.id, name)}
        for scheme in _schemes(model, name, catalog):
            if scheme not in known and (not given.schemes or scheme in given.schemes):
                left.append((model.id, name, scheme))
    for row in _rows(left):
        _keep(row)
        print(*(row.get(key, "") for key in (*KEY, *MEASURED)), file=sys.stderr)
        if end is not None and time.monotonic() > end:
            break
    return 0


def stand_for(catalog: Catalog) -> Mapping[str, Model]:
    """For each twin the model that lists name first."""
    found: dict[str, Model] = {}
    for model in sorted(catalog.models.values(), key=lambda model: (model.local, model.rank)):
        if not model.own:
            found.setdefault(twin_of(model), model)
    return found


def _components(models: list[Model], asked: list[str] | None) -> Iterator[tuple[Model, str]]:
    """The denoisers of all models first, then an encoder of each class, then the others; of one
    model the encoder that a plan names ahead. Those with the fewest kept rows come first."""
    denoisers = [
        (model, name)
        for model in models
        for name in model.family.denoisers
        if name in (asked or [name])
    ]
    yield from sorted(denoisers, key=lambda each: len(_kept(each[0].id, each[1])))
    encoders = [
        (model, name)
        for model in models
        for name in reversed(model.family.encoders)
        if name in (asked or [name])
    ]
    first = {known.cls: (m, n) for m, n in reversed(encoders) if (known := m.component(n))}
    ahead = list(reversed(first.values()))
    yield from (*ahead, *(each for each in encoders if each not in ahead))


def _schemes(model: Model, component: str, catalog: Catalog) -> list[str]:
    """The schemes that exist for a component and run on a CPU, of libraries that are here."""
    known = model.component(component)
    if known is None:
        return []
    machine, methods = this_machine(), catalog.methods
    here = {m.id for m in methods.values() if not missing_packages(m, machine)}
    runs = (s for s in catalog.schemes.values() if s.on_cpu != "no" and not s.layers)
    found = (s for s in runs if s.method in here)
    return [s.id for s in found if why_not(s, known.library, known.cls) is None]


def _rows(left: list[Trial]) -> Iterator[dict[str, Any]]:
    about = {"measured_on": date.today().isoformat(), **versions()}
    with tempfile.TemporaryDirectory() as folder:
        while left:
            for trial, found in _one_process(left, folder):
                left = [other for other in left if other != trial]
                yield {**dict(zip(KEY, trial, strict=True)), **found, **about}


def _one_process(trials: list[Trial], folder: str) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """What each trial gave, until all are through or one ends the process."""
    with Child("tools.twins.trial", {"trials": trials, "folder": folder}) as child:
        under_way: Trial | None = trials[0]
        while True:
            try:
                event = child.next(LIMIT_S)
                said = f"the process {child.how_it_ended()}" if event is None else ""
            except Expired:
                event, said = None, f"gave no answer in {LIMIT_S:.0f} s"
            if event is None:
                if under_way is not None:
                    yield under_way, {"measured": "no", "detail": said}
                return
            model, component, scheme = event["trial"]
            under_way = (model, component, scheme)
            if "done" in event:
                yield under_way, event["done"]
                under_way = None


def _all() -> list[dict[str, str]]:
    if not FILE.exists():
        return []
    with FILE.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _kept(model: str, component: str) -> list[dict[str, str]]:
    return [row for row in _all() if (row["model"], row["component"]) == (model, component)]


def _keep(row: dict[str, Any]) -> None:
    """Put a row into the file in the place of an older one of the same key."""
    key = tuple(row[name] for name in KEY)
    rows = [known for known in _all() if tuple(known[name] for name in KEY) != key]
    rows.append({name: str(value) for name, value in row.items()})
    rows.sort(key=lambda known: tuple(known[name] for name in KEY))
    names = dict.fromkeys([*KEY, *MEASURED, *(name for known in rows for name in known)])
    part = FILE.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(names), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(FILE)


if __name__ == "__main__":
    sys.exit(main())
