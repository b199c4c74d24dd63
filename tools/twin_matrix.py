"""Every scheme that runs on this CPU, on the tiny twin of every family: data/results/twins-cpu.csv.

    python -m tools.twin_matrix                  runs what is not in the file yet
    python -m tools.twin_matrix --family sdxl    of one family alone, which is measured anew

A scheme goes on the denoiser, held against bf16. Predicted bytes stand beside those that loading
stores. Some libraries end the process on layers that they cannot take, so that the plans of a
family run in a child; what it did not come to goes on in another. Rows are written as they come.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.reach import why_not
from quantlab.catalog.read.twins import COLUMNS, TWINS
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.weights import component_bytes
from quantlab.catalog.table import load_catalog
from quantlab.errors import QuantlabError
from quantlab.words.comparison import MAX_PLANS
from quantlab.words.outcome import Event, Finished, Outcome
from tools.twins import FAMILIES, build

__all__ = ["main", "schemes_for"]

PLACE = PROJECT / "data" / "results" / TWINS
SIZE, STEPS = 64, 2
Row = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Measure what is missing; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--family", choices=sorted(FAMILIES), help="this one alone, anew")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.child:
        _run(Path(given.child[0]), given.child[1:])
        return 0
    rows = [row for row in _read() if row["twin"] != given.family]
    for twin in [given.family] if given.family else FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            build(twin, Path(folder) / twin)
            for row in _measured(Path(folder) / twin, [r for r in rows if r["twin"] == twin]):
                rows.append({"twin": twin, **row})
                _write(rows)
                print(f"{twin} {row['scheme']}: {row['status']} {row['reason']}", file=sys.stderr)
    return 0


def _read() -> list[Row]:
    if not PLACE.exists():
        return []
    with PLACE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(rows: Sequence[Row]) -> None:
    order = {name: place for place, name in enumerate(FAMILIES)}
    with PLACE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: (order[row["twin"]], row["scheme"])))


def schemes_for(model: Model) -> list[str]:
    """The schemes that run on this machine's CPU and can be put on the denoiser of ``model``."""
    catalog, machine = load_catalog(), this_machine()
    denoiser = model.components[0]
    return [
        scheme.id
        for scheme in catalog.schemes.values()
        if here(scheme, catalog.methods[scheme.method], machine, model) == "ok"
        and why_not(scheme, denoiser.library, denoiser.cls, denoiser.shapes) is None
    ]


def _measured(folder: Path, known: Sequence[Row]) -> Iterator[Row]:
    """A row for each scheme that ``known`` does not have."""
    from quantlab.lab.hub.admit import admit

    model = admit(str(folder))
    waiting = [s for s in schemes_for(model) if s not in {row["scheme"] for row in known}]
    while waiting:
        command = [sys.executable, "-m", "tools.twin_matrix", "--child", str(folder), *waiting]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("{"):
                row = json.loads(line)
                waiting.remove(row["scheme"])
                yield row
        code = child.wait()
        if waiting and code:
            died = waiting.pop(0)
            yield _row(died, "died", reason=f"the process ended with {code}")


def _run(folder: Path, schemes: Sequence[str]) -> None:
    """Compare them, a few at a time, and print a line of JSON for each as it is there."""
    from quantlab.lab.bench.compare import Bench, compare
    from quantlab.lab.device import this_device
    from quantlab.lab.hub.admit import admit
    from quantlab.lab.references import keep_reference

    model = admit(str(folder))
    bench = Bench(load_catalog(), this_device())
    asked: dict[str, Any] = {"prompt": "a fox", "steps": STEPS, "width": SIZE, "height": SIZE}
    if model.family.needs_reference:
        asked["reference"] = keep_reference(_picture(), "picture")
    if model.family.frames:
        asked["frames"] = 1 + model.family.frames
    some = MAX_PLANS - 1
    for start in range(0, len(schemes), some):
        plans = ["bf16", *schemes[start : start + some]]
        comparison = make_comparison(model=model.id, plans=plans, **asked)

        def told(event: Event) -> None:
            if isinstance(event, Finished) and event.index:
                print(json.dumps(_scored(model, event.outcome)), flush=True)

        with tempfile.TemporaryDirectory() as out:
            compare(comparison, bench=bench, out=Path(out), report=told, warmup=0)


def _picture() -> bytes:
    import io

    from PIL import Image

    content = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(content, "PNG")
    return content.getvalue()


def _scored(model: Model, outcome: Outcome) -> Row:
    """The row of one plan: a bare scheme on the denoiser."""
    plan = parse_plan(outcome.plan, model)
    scheme = dict(plan.parts)[model.denoiser]
    if outcome.error is not None:
        return _row(scheme, "failed", f"{outcome.error.stage}: {outcome.error.message}")
    values: dict[str, Any] = {"stored_bytes": outcome.weights_bytes[model.denoiser]}
    try:
        values["predicted_bytes"] = component_bytes(model, model.denoiser, scheme)
    except QuantlabError as error:
        return _row(scheme, "ok", f"not predicted: {error}", values)
    if outcome.transformer_rel_l2 is not None:
        values["rel_l2"] = f"{outcome.transformer_rel_l2:.4f}"
    return _row(scheme, "ok", "", values)


def _row(scheme: str, status: str, reason: str = "", values: Mapping[str, Any] = {}) -> Row:
    empty = dict.fromkeys(COLUMNS[1:], "")
    return {**empty, "scheme": scheme, "status": status, "reason": reason, **values}


if __name__ == "__main__":
    sys.exit(main())
