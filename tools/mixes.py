"""Tunes the mixes of flux-mini that ship and keeps how they did: ``python -m tools.mixes``.

``quantlab tune`` for each budget, in a folder that is gone on with; then data/mixes/ has the mixes,
and data/results/tune-flux-mini.csv a row for each plan of each budget: the mix, the uniform plan
with embedders and last layers in 16 bits, and the uniform plan of every layer. ``loss`` is the mean
relative L2 of an identical step, ``psnr_db`` of whole pictures, ``gain_db`` that of the mix over
the plan prompt by prompt; all on prompts that were not tuned on, each with its 95 % interval.

A uniform plan has the bits that its one scheme happens to have: more than the mixes that ship. So
there are three more rows of each kind, of mixes that do not ship, with as many bits as it has. Rows
of budgets that are not asked for stay as they are.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import PROJECT
from quantlab.cli import main as quantlab

__all__ = ["BUDGETS", "EQUAL", "TARGET", "main", "rows"]

BUDGETS = (3.5, 4.5, 5.5, 8.5)
"""Of those that ship."""
EQUAL = {4.11: 4.5, 4.88: 4.5, 8.9: 8.5}
"""What Q3_K, IQ4_XS and Q8_0 take with the usual layers in 16 bits -> the budget whose measured
effects of single layers are taken over."""
MIXES = PROJECT / "data" / "mixes"
TARGET = PROJECT / "data" / "results" / "tune-flux-mini.csv"
IMPORTANCE = "importance.safetensors"
SHARED = "flux-mini.safetensors"
"""What importance.safetensors is called in data/mixes: it is the same for all budgets."""


def rows(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The plans of one report.json."""
    about = {"budget_bits": report["budget_bits"], "prompts": len(report["prompts"]["held_out"])}
    made = {"measured_on": report["measured_on"], **report["versions"]}
    mix = {**report, "loss_interval": report["interval"]}
    yield about | _row("mix", report["plan"], mix, None) | made
    for kind, gain in (("uniform", "gain_db"), ("uniform_plain", "gain_plain_db")):
        plan = report[kind]
        yield about | _row(kind, plan["scheme"], plan, report[gain]) | made


def _row(
    kind: str, plan: str, held: Mapping[str, Any], gain: Mapping[str, Any] | None
) -> dict[str, Any]:
    low, high = held["loss_interval"]
    found = {"kind": kind, "plan": plan, "bits": f"{held['bits']:.3f}"}
    found |= {"loss": f"{held['loss']:.5f}", "loss_low": f"{low:.5f}", "loss_high": f"{high:.5f}"}
    for name, span in (("psnr_db", held["psnr_db"]), ("gain_db", gain)):
        for part, key in (("", "mean"), ("_low", "low"), ("_high", "high")):
            found[f"{name}{part}"] = f"{span[key]:.2f}" if span else ""
    return found


def _folder(work: Path, budget: float) -> Path:
    """Where the tuning for ``budget`` is kept, under the mix's name."""
    return work / f"flux-mini-{budget:g}".replace(".", "_")


def _keep(folder: Path) -> None:
    """Put the mix of ``folder`` among those that ship."""
    text = (folder / "mix.toml").read_text(encoding="utf-8").replace(IMPORTANCE, SHARED)
    (MIXES / f"{folder.name}.toml").write_text(text, encoding="utf-8")
    shutil.copyfile(folder / IMPORTANCE, MIXES / SHARED)


def _written() -> dict[str, list[Mapping[str, Any]]]:
    """The rows of the table by budget."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    if TARGET.exists():
        with TARGET.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["budget_bits"], []).append(row)
    return found


def main() -> int:
    """Tune, or read what was tuned, and write mixes and table."""
    parser = argparse.ArgumentParser(description="Tune the mixes that ship.")
    parser.add_argument("--work", type=Path, default=PROJECT / ".work" / "mixes")
    every = (*BUDGETS, *EQUAL)
    parser.add_argument("--budgets", type=float, nargs="+", choices=every, default=every)
    asked = parser.parse_args()
    found = _written()
    for budget in sorted(asked.budgets, key=every.index):
        folder = _folder(asked.work, budget)
        known = _folder(asked.work, EQUAL.get(budget, budget)) / "measured.json"
        if not (folder / "report.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            if budget in EQUAL and known.is_file():
                shutil.copyfile(known, folder / known.name)
            status = quantlab(["tune", "--budget-bits", str(budget), "--out", str(folder)])
            if status:
                return status
        if budget not in EQUAL:
            _keep(folder)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        found[f"{budget:g}"] = list(rows(report))
    held = [row for name in map("{:g}".format, every) for row in found.get(name, [])]
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(held[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(held)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
