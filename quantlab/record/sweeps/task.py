"""One plan of a sweep as a task on a worker of Ray: what it is told and what it sends back.

Runs on the worker, from a copy of the project. All that comes back is plain values and bytes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quantlab.catalog.paths import whole_file
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench
from quantlab.lab.device import this_device
from quantlab.lab.keep.scratch import scratch
from quantlab.lab.libraries import torch
from quantlab.lab.runners.series import Series, reference_path
from quantlab.record.sweeps.place import Circumstances, Measured, circumstances, measure
from quantlab.record.sweeps.sweep import role

__all__ = ["Share", "about", "keep", "references", "work"]


@dataclass(frozen=True)
class Share:
    """What a task is told beside its pairs."""

    model: str
    process: str
    warmup: int
    isolate: bool
    cpus: int


def about(share: Share) -> Circumstances:
    """What rows measured on this node carry; as many threads as CPUs compute from now on."""
    os.environ["OMP_NUM_THREADS"] = str(share.cpus)  # for child processes
    torch().set_num_threads(share.cpus)
    model = load_catalog().models[share.model]
    return circumstances(model, share.process, share.warmup, this_device())


def work(series: Series, share: Share, left: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """The task: where it runs, then each pair's outcome, as they are done.

    ``left`` is what the reference plan left, by file name.
    """
    node = about(share)
    yield {"about": node}
    with scratch() as folder:
        here = replace(series, out=Path(folder), references=Path(folder) / "references")
        for name, content in left.items():
            keep(here.references / name, content)
        bench = Bench(load_catalog(), this_device())
        runs = measure(
            here, node, threading.Event(), isolate=share.isolate, bench=bench, encoded={}
        )
        for done in runs:
            yield {
                "outcome": done.outcome.as_dict(),
                "png": done.png,
                "reference": _reference(here, done),
                "seconds": done.seconds,
                "first": done.first,
            }


def _reference(series: Series, done: Measured) -> bytes | None:
    """What the reference plan has just left."""
    path = reference_path(series.references, done.comparison)
    is_new = role(done.comparison) == "reference" and path.exists()
    return path.read_bytes() if is_new else None


def references(lanes: Sequence[Series]) -> dict[str, bytes]:
    """What the reference plan left for the pairs of ``lanes``, by file name."""
    paths = {
        reference_path(series.references, c)
        for series in lanes
        for c in series.comparisons
        if role(c) != "reference"
    }
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def keep(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(content)
