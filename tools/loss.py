"""Measures how much each scheme changes flux-mini's transformer: data/results/loss-flux-mini.csv.

    python -m tools.loss

One identical step, relative L2 of the transformer's output against fp32, for every scheme that
runs here. The file gives proposals.py the order of schemes with equal bits; it takes some minutes.
"""

from __future__ import annotations

import csv
import tempfile
from datetime import date
from pathlib import Path

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.libraries import versions
from quantlab.words.comparison import MAX_PLANS
from quantlab.words.outcome import Outcome

MODEL = "flux-mini"
PROMPT = "a red apple on a blue background"
TARGET = PROJECT / "data" / "results" / "loss-flux-mini.csv"


def schemes() -> list[str]:
    """The schemes that run on this machine, in the catalogue's order."""
    catalog, machine = load_catalog(), this_machine()
    model = catalog.models[MODEL]
    return [
        scheme.id
        for scheme in catalog.schemes.values()
        if here(scheme, catalog.methods[scheme.method], machine, model) == "ok"
    ]


def measure(names: list[str], bench: Bench) -> list[Outcome]:
    """Outcomes of ``names``, each against fp32."""
    comparison = make_comparison(model=MODEL, plans=["fp32", *names], prompt=PROMPT, steps=1)
    with tempfile.TemporaryDirectory() as folder:
        return compare(comparison, bench=bench, out=Path(folder), warmup=0)[1:]


def main() -> None:
    """Measure and write the file."""
    names, size = schemes(), MAX_PLANS - 1
    bench = Bench()
    parts = [names[at : at + size] for at in range(0, len(names), size)]
    outcomes = [outcome for part in parts for outcome in measure(part, bench)]
    same = {"model": MODEL, "reference": "fp32", "prompt": PROMPT, "seed": 0}
    same |= {"measured_on": date.today().isoformat(), **versions()}
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["scheme", "transformer_rel_l2", *same], lineterminator="\n")
        writer.writeheader()
        for outcome in outcomes:
            if outcome.transformer_rel_l2 is not None:
                value = f"{outcome.transformer_rel_l2:.5f}"
                writer.writerow({"scheme": outcome.plan, "transformer_rel_l2": value, **same})


if __name__ == "__main__":
    main()
