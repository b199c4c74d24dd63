"""Tries every compiled plan of flux-mini and its script: data/results/compiled-flux-mini-cpu.csv.

    nice python -m tools.sweep_compiled [--schemes ID ...] [--limit SECONDS]

The test run compiles few plans; this is the full set, each scheme that runs here on the denoiser. A
row says how the runner went ("ok", or what failed), how far one step is from the same plan's in
eager mode, and whether the script, which cannot import quantlab, makes the same image to the bit.
Each plan has a process of its own, which is ended after the limit; a row says so then. Exits 1
where something does not hold. Rows of schemes that are not asked for stay as they are.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.paths import PROJECT
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.device import this_device
from quantlab.lab.libraries import versions
from quantlab.lab.script.pipeline import snippet
from tools.sweep_all import ALONE, CATALOG, DENOISER, PROMPT, cases

__all__ = ["cases_compiled", "main", "rows", "sound"]

TARGET = PROJECT / "data" / "results" / "compiled-flux-mini-cpu.csv"
PLAIN = ("fp32", "bf16")
COLUMNS = ("plan", "runner", "from_eager", "script")
LIMIT = 300.0
"""Seconds for a plan and its script: most take 20."""


def cases_compiled() -> Iterator[str]:
    """The plans without the ``@compiled``: both dtypes, and every scheme that runs here."""
    yield from PLAIN
    yield from (scheme.id for scheme, component in cases() if component.name == DENOISER)


def sound(row: Mapping[str, str]) -> list[str]:
    """What does not hold in ``row``, in words."""
    wrong = [] if row["runner"] == "ok" else [f"runner: {row['runner']}"]
    return wrong if row["script"] == "same" else [*wrong, f"script: {row['script']}"]


def rows(target: Path = TARGET) -> dict[str, dict[str, str]]:
    """The rows of the kept file, by plan."""
    if not target.exists():
        return {}
    with target.open(encoding="utf-8", newline="") as file:
        return {row["plan"]: row for row in csv.DictReader(file)}


def tried(plan: str, bench: Bench, root: Path) -> dict[str, str]:
    """The row of one plan."""
    asked = make_comparison(
        plans=[plan, f"{plan}@compiled"], prompt=PROMPT, steps=1, width=64, height=64
    )
    _, ours = compare(asked, bench=bench, out=root / "ours", warmup=0)
    row = {"plan": str(asked.plans[1]), "runner": "ok", "from_eager": "-", "script": "-"}
    if ours.error is not None or ours.image is None:
        return row | {"runner": str(ours.error and ours.error.message)[:200]}
    alone = root / "alone"
    alone.mkdir()
    (alone / "data").symlink_to(PROJECT / "data")
    text = snippet(asked, asked.plans[1], CATALOG, this_device())
    (alone / "script.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-I", "-c", ALONE, json.dumps([str(alone)])]
    subprocess.run(command, cwd=root, capture_output=True, check=False)
    step = f"{ours.transformer_rel_l2 or 0:.5f}"
    return row | {"from_eager": step, "script": _script(alone, Path(ours.image))}


def _script(alone: Path, ours: Path) -> str:
    """How the script in ``alone`` went."""
    if (said := alone / "said").exists():
        return said.read_text("utf-8").strip().splitlines()[-1][:200]
    if not (made := alone / "image.png").exists():
        return "its process died"
    return "same" if made.read_bytes() == ours.read_bytes() else "another image"


def in_time(plan: str, limit: float) -> dict[str, str]:
    """The row of ``plan`` from a process of its own, which has ``limit`` seconds."""
    row = {"plan": f"{plan}@compiled", "from_eager": "-", "script": "-"}
    command = [sys.executable, "-m", "tools.sweep_compiled", "--alone", plan]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            said, _ = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # its compiler's workers and its script, too
            return row | {"runner": f"had not ended after {limit:g} s"}
    if child.returncode:
        return row | {"runner": f"its process ended with {child.returncode}"}
    found: dict[str, str] = json.loads(said.splitlines()[-1])
    return found


def main(say: Callable[[str], None] = print) -> int:
    """Try them, write the file row by row; 1 where something does not hold."""
    parser = argparse.ArgumentParser(description="Try every compiled plan and its script.")
    parser.add_argument("--schemes", nargs="+", help="only these; otherwise all that compile here")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for each")
    parser.add_argument("--alone", metavar="ID", help="one, here; prints its row as JSON")
    asked = parser.parse_args()
    if asked.alone:
        with tempfile.TemporaryDirectory() as root:
            say(json.dumps(tried(asked.alone, Bench(CATALOG, this_device()), Path(root))))
        return 0
    known, faults = rows(), 0
    same = {"measured_on": date.today().isoformat(), **versions()}
    for plan in asked.schemes or list(cases_compiled()):
        row = in_time(plan, asked.limit)
        wrong = sound(row)
        faults += bool(wrong)
        known[row["plan"]] = {name: row[name] for name in COLUMNS} | same
        say(" ".join([*row.values(), *wrong]))
        with TARGET.open("w", encoding="utf-8", newline="") as file:
            columns = list(dict.fromkeys(name for each in known.values() for name in each))
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(known.values())
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
