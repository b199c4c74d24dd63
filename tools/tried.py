"""Writes the README's table of models: which libraries were tried on which, and on what.

    python -m tools.tried            writes it between its two marks
    python -m tools.tried --check    says whether it is stale

A tick is of the denoiser of the model's twin: a few layers with random weights, on a CPU
(data/results/twins.csv). Real weights count where data/results has a run of them on a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from quantlab.catalog.models.schema import Model
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.read.twins import on_twin
from quantlab.catalog.table import Catalog, load_catalog

__all__ = ["main", "table"]

PAGE = PROJECT / "README.md"
BEGIN, END = "<!-- written by tools/tried.py -->", "<!-- end of what was tried -->"
LIBRARIES = ("bitsandbytes", "torchao", "quanto", "sdnq", "gguf", "layerwise", "hqq", "bfl")
REAL = PROJECT / "data" / "results" / "gpu-h200.jsonl"
TICK = "✓"


def table() -> str:
    """The table in Markdown."""
    catalog, real = load_catalog(), set(_on_gpu())
    head = ("model", *(catalog.methods[name].name for name in LIBRARIES), "real weights on a GPU")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for model in catalog.models.values():
        if model.own:
            continue
        cells = [model.name, *(_cell(model, name, catalog) for name in LIBRARIES)]
        cells.append(f"{TICK} H200" if model.id in real else "no")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(model: Model, method: str, catalog: Catalog) -> str:
    """A tick where all of the method's schemes that were tried work, else how many do."""
    tried = [
        on_twin(model, model.denoiser, scheme.id, catalog.models)
        for scheme in catalog.methods[method].schemes
    ]
    known = [each.works for each in tried if each is not None]
    if not known:
        return "-"
    return TICK if all(known) else f"{sum(known)} of {len(known)}"


def _on_gpu() -> Iterator[str]:
    """The models whose own weights ran on a GPU; the day's other parts are of random ones."""
    for line in REAL.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["part"] == "mini" and row.get("status") == "ok":
            yield "flux-mini"


def main(argv: list[str] | None = None, page: Path = PAGE) -> int:
    """Write or check the table in ``page``; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(argv)
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    made = f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"
    if given.check:
        if made != text:
            print(f"stale: {page.name}; python -m tools.tried writes it", file=sys.stderr)
        return int(made != text)
    page.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
