"""Rows of a GPU day as the cells of a probe: what the catalogue shows as measured on CUDA.

    python -m benchmarks.gpu_day.findings gpu-h200.jsonl probe-cuda.csv

A scheme runs where flux-mini was drawn in it, is offloaded where the offloaded image is the
resident one to the bit, and compiles where its blocks ran compiled: those of a full FLUX, where
these were tried, else those of flux-mini.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_day.book import read
from quantlab.catalog.table import load_catalog
from quantlab.lab.probe.probe import Probed
from quantlab.record.probes import to_csv

__all__ = ["cells", "main"]

Row = dict[str, Any]
COLUMN = {"run": "cuda", "load": "on-the-fly", "compile": "compile"}
MIB = 2**20


def main(arguments: Sequence[str]) -> int:
    """Read the rows of the first path, write the table to the second."""
    rows = list(read(Path(arguments[0])))
    about = next(row for row in rows if row.get("device_kind") == "cuda")
    gib = about["device_bytes"] / 2**30
    machine = f"{about['device']}, driver {about['driver']}, cuda {gib:.0f} GiB"
    now = {"machine": machine, "versions": {"quantlab": "0.1.0", **about["versions"]}}
    text = to_csv(cells(rows), now, about["measured_on"])
    Path(arguments[1]).write_text(text, encoding="utf-8")
    return 0


def cells(rows: Sequence[Row]) -> list[Probed]:
    """One cell for each scheme, component and capability; what comes later in ``rows`` stays, but
    nothing of flux-mini where the full size was tried."""
    found: dict[tuple[str, str, str], Probed] = {}
    full: set[tuple[str, str, str]] = set()
    for row in rows:
        for cell in (*_drawn(row), *_placed(row), *_scripted(row), *_full_size(row)):
            key = (cell.scheme, cell.component, cell.capability)
            if row["part"] == "flux":
                full.add(key)
            if row["part"] == "flux" or key not in full:
                found[key] = cell
    return [found[key] for key in sorted(found)]


def _drawn(row: Row) -> Iterator[Probed]:
    """Of an image of flux-mini, without a LoRA."""
    if row["part"] != "mini" or row["what"] != "outcome" or row["status"] != "ok" or row["lora"]:
        return
    plan, _, compiled = row["plan"].partition("@")
    component, _, scheme = plan.rpartition("=")
    if "," in plan:
        return
    component = component or "transformer"
    seconds = row["latency_s"][0]
    if compiled:
        said = f"flux-mini: relative L2 {row['transformer_rel_l2']:.1e}"
        yield from _cell(scheme, component, "compile", "yes", said, seconds)
        return
    size = row["weights_bytes"][component] / MIB
    yield from _cell(scheme, component, "load", "yes", f"{size:.1f} MiB", row["load_s"])
    said = f"{row['step_s']:.3f} s a step, beside others"
    yield from _cell(scheme, component, "run", "yes", said, seconds)


def _placed(row: Row) -> Iterator[Probed]:
    if row["what"] == "placed" and row["placement"] == "model-offload" and row.get("same"):
        said = "model offload draws the same image"
        yield from _cell(row["plan"], "transformer", "offload", "yes", said, 0.0)


def _scripted(row: Row) -> Iterator[Probed]:
    """A script that draws the same image as quantlab shows that the scheme runs in both."""
    plan = str(row.get("plan"))
    if row["what"] == "script" and row["same"] and plan in load_catalog().schemes:
        said = "flux-mini's script draws the same image, to the bit"
        yield from _cell(plan, "transformer", "run", "yes", said, 0.0)


def _full_size(row: Row) -> Iterator[Probed]:
    """Of a full FLUX by shape: its step, eager and with its blocks compiled.

    A failure with a note was not with our settings.
    """
    if row["part"] != "flux":
        return
    scheme = row["item"].partition("+")[0]
    if row["what"] == "step" and row["mode"] == "eager":
        said = f"full FLUX.1 at {row['width']} x {row['width']}: {row['step_s']:.3f} s a step"
        yield from _cell(scheme, "transformer", "run", "yes", said, row["step_s"])
    if not row["item"].endswith("+compiled"):
        return
    if row["what"] == "step" and row["mode"] == "compiled":
        said = f"full FLUX.1: first call {row['first_s']:.0f} s, then {row['step_s']:.3f} s a step"
        yield from _cell(scheme, "transformer", "compile", "yes", said, row["first_s"])
    elif row["what"] == "failed" and row.get("trace"):
        said = f"full FLUX.1: {row['reason']}"
        yield from _cell(scheme, "transformer", "compile", "no", said, 0.0)
    elif row["what"] == "failed" and row.get("given_s") and not row.get("note"):
        said = f"full FLUX.1: had not run once after {row['given_s']:.0f} s"
        yield from _cell(scheme, "transformer", "compile", "no", said, row["given_s"])


def _cell(
    scheme: str, component: str, capability: str, measured: str, detail: str, seconds: float
) -> Iterator[Probed]:
    catalog = load_catalog()
    facts = catalog.schemes.get(scheme)
    if facts is None:
        return  # a dtype
    column = COLUMN.get(capability)
    claim = catalog.methods[facts.method].cell(column, facts).value if column else None
    yield Probed(scheme, capability, claim, measured, detail, round(seconds, 3), component)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
