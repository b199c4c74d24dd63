"""Where the plans of a sweep are run: on this machine, one after the other.

``measure`` is one plan over all its pairs, wherever that is; sweeps/on_ray.py calls it on the
workers of a Ray cluster. What comes back is plain values and bytes, so that it can travel. Knows
nothing of the store.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import quantlab
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog
from quantlab.lab.bench.compare import Bench
from quantlab.lab.device import Device
from quantlab.lab.libraries import versions
from quantlab.lab.runners.series import Embeddings, Series, run_apart, run_series
from quantlab.record.sweeps.sweep import Sweep
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome

__all__ = ["Circumstances", "Here", "Measured", "Place", "circumstances", "measure", "process"]

Circumstances = tuple[dict[str, Any], dict[str, str]]
"""Device and versions as rows carry them: what the figures depend on."""


@dataclass(frozen=True)
class Measured:
    """One run. ``seconds`` since the one before it; ``first`` of its process, with the loading.

    The outcome's image is in ``png``, not in a file.
    """

    comparison: Comparison
    outcome: Outcome
    png: bytes | None
    seconds: float
    first: bool
    about: Circumstances


class Place(Protocol):
    """Where plans are run. ``workers`` is how many of them at once."""

    workers: int

    def machines(self) -> Sequence[Circumstances]:
        """What rows measured here may carry, one for each kind of machine."""

    def measure(self, lanes: Sequence[Series], stop: threading.Event) -> Iterator[Measured]:
        """Run them all; what the reference plan leaves is in ``Series.references`` by then."""


class Here:
    """This machine, with one worker."""

    workers = 1

    def __init__(self, sweep: Sweep, catalog: Catalog, device: Device) -> None:
        self._isolate, model = sweep.isolate, catalog.models[sweep.model]
        self._about = circumstances(model, process(sweep), sweep.warmup, device)
        self._bench = Bench(catalog, device)
        self._encoded: Embeddings = {}

    def machines(self) -> Sequence[Circumstances]:
        """This one."""
        return [self._about]

    def measure(self, lanes: Sequence[Series], stop: threading.Event) -> Iterator[Measured]:
        """One plan after the other; those that follow use again what is loaded and encoded."""
        for series in lanes:
            if stop.is_set():
                return
            yield from measure(
                series,
                self._about,
                stop,
                isolate=self._isolate,
                bench=self._bench,
                encoded=self._encoded,
            )


def measure(
    series: Series,
    about: Circumstances,
    stop: threading.Event,
    *,
    isolate: bool,
    bench: Bench,
    encoded: Embeddings,
) -> Iterator[Measured]:
    """One plan over its pairs, in order; ends early where it is stopped or dies twice in a row."""
    if isolate:
        outcomes = run_apart(series, stop, bench.pool.catalog, bench.pool.device)
    else:
        outcomes = run_series(series, bench, stop, encoded)
    since, first = time.perf_counter(), True
    # Outcomes first: so they run to their end, and what they hold is put away there.
    for outcome, comparison in zip(outcomes, series.comparisons, strict=False):
        if outcome.error is not None and outcome.error.stage == "stopped":
            return
        png = None
        if outcome.image:
            png = Path(outcome.image).read_bytes()
            Path(outcome.image).unlink()
        seconds = time.perf_counter() - since
        yield Measured(comparison, replace(outcome, image=None), png, seconds, first, about)
        since, first = time.perf_counter(), False


def process(sweep: Sweep) -> str:
    """What shares a process, in words: it decides load times and peaks."""
    return "one per plan" if sweep.isolate else "shared"


def circumstances(model: Model, process: str, warmup: int, device: Device) -> Circumstances:
    """Device and versions of this machine, as rows of a sweep carry them."""
    info = {**device.info(), "process": process, "warmup_runs": warmup}
    return info, {"quantlab": quantlab.__version__, **versions(), "weights": _weights(model)}


def _weights(model: Model) -> str:
    """A digest of a local model's weight files, or the hub's revision."""
    if not model.local or model.own:
        return model.revision
    digest = hashlib.sha256()
    for path in sorted((PROJECT / model.source).glob("*/*.safetensors")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
