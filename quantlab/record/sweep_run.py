"""Runs a sweep into the store, so that it can be killed at any moment and goes on.

A row goes to the store as soon as it is measured; a row that is there, measured on the same
machine with the same versions, weights and settings, is not measured again. Knows the store and
the lab; prints nothing.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import quantlab
from quantlab.catalog.paths import PROJECT, cache_folder
from quantlab.catalog.schema import Model
from quantlab.catalog.table import load_catalog
from quantlab.lab.compare import Bench
from quantlab.lab.libraries import device_info, versions
from quantlab.lab.outcome import Outcome
from quantlab.lab.plan import Comparison
from quantlab.lab.series import Embeddings, Series, has_reference, run_apart, run_series
from quantlab.record.export import Live, Row
from quantlab.record.store import Store
from quantlab.record.sweep import Lane, Sweep, pair, role

__all__ = ["Step", "circumstances", "run"]

Say = Callable[["Step"], None]


@dataclass(frozen=True)
class Step:
    """One more row: ``done`` of ``total``, and how many seconds the rest may take."""

    row: Row
    done: int
    total: int
    left_s: float


def circumstances(sweep: Sweep) -> tuple[dict[str, Any], dict[str, str]]:
    """Device and versions as rows of this sweep carry them: what the figures depend on."""
    model = load_catalog().models[sweep.lanes[0].comparisons[0].model]
    device = {
        **device_info(),
        "process": "one per plan" if sweep.isolate else "shared",
        "warmup_runs": sweep.warmup,
    }
    return device, {"quantlab": quantlab.__version__, **versions(), "weights": _weights(model)}


def _weights(model: Model) -> str:
    """A digest of a local model's weight files, or the hub's revision."""
    if not model.local:
        return model.revision
    digest = hashlib.sha256()
    for path in sorted((PROJECT / model.source).glob("*/*.safetensors")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def run(
    sweep: Sweep,
    store: Store,
    *,
    say: Say = lambda _: None,
    start: Callable[[int], None] = lambda _: None,
    stop: threading.Event | None = None,
    retry: bool = False,
) -> list[Row]:
    """Measure what the store does not hold yet; gives all rows of the sweep.

    ``start`` is told how many rows were there, ``say`` of each new one. With ``retry`` failed
    rows are measured again.

    Raises:
        StoreError: a row could not be kept; what was kept before stays, a new call goes on there.
    """
    return _Run(sweep, store, say, stop or threading.Event()).all(start, retry)


class _Run:
    """A sweep under way."""

    def __init__(self, sweep: Sweep, store: Store, say: Say, stop: threading.Event) -> None:
        self.sweep, self.store, self.say, self.stop = sweep, store, say, stop
        self.device, self.versions = circumstances(sweep)
        self.rows: dict[Comparison, Row] = {}
        self.bench = Bench()
        self.encoded: Embeddings = {}
        self.clock = _Clock()
        about = json.dumps([self.device, self.versions], sort_keys=True, default=str)
        name = hashlib.sha256(about.encode()).hexdigest()[:16]
        self.references = cache_folder() / "sweep" / name

    def all(self, start: Callable[[int], None], retry: bool) -> list[Row]:
        self.rows = {
            comparison: row
            for comparison, row in self._kept().items()
            if not (retry and row.outcome.status == "failed")
        }
        start(len(self.rows))
        with tempfile.TemporaryDirectory(prefix="quantlab-") as folder:
            for lane in self.sweep.lanes:
                self._lane(lane, Path(folder))
        wanted = (c for lane in self.sweep.lanes for c in lane.comparisons)
        return [self.rows[comparison] for comparison in wanted if comparison in self.rows]

    def _kept(self) -> dict[Comparison, Row]:
        """Rows of this sweep that the store holds, measured under the same circumstances."""
        wanted = {c for lane in self.sweep.lanes for c in lane.comparisons}
        found: dict[Comparison, Row] = {}
        for row in self.store.recent(2**31, images=False):
            if (
                row.comparison in wanted
                and row.comparison not in found
                and row.plan == str(row.comparison.plans[-1])
                and (dict(row.device), dict(row.versions)) == (self.device, self.versions)
                and (row.outcome.error or len(row.outcome.latency_s) >= self.sweep.repeats)
            ):
                found[row.comparison] = row
        return found

    def _lane(self, lane: Lane, out: Path) -> None:
        todo = [c for c in lane.comparisons if c not in self.rows]
        again = self._lost_references() if role(lane.comparisons[0]) == "reference" else []
        series = Series(
            comparisons=tuple(dict.fromkeys([*todo, *again])),
            out=out,
            references=self.references,
            repeats=self.sweep.repeats,
            warmup=self.sweep.warmup,
        )
        if not series.comparisons or self.stop.is_set():
            return
        self.clock.start_lane()
        for comparison, outcome in zip(series.comparisons, self._outcomes(series), strict=False):
            if outcome.error is not None and outcome.error.stage == "stopped":
                return
            self.clock.mark()
            if comparison not in self.rows:
                self._keep(comparison, outcome)

    def _outcomes(self, series: Series) -> Iterator[Outcome]:
        if self.sweep.isolate:
            return run_apart(series, self.stop)
        return run_series(series, self.bench, self.stop, self.encoded)

    def _lost_references(self) -> list[Comparison]:
        """Pairs whose reference was measured, is still needed, and is gone from the cache."""
        reference, *others = self.sweep.lanes
        needed = {pair(c) for lane in others for c in lane.comparisons if c not in self.rows}
        return [
            c
            for c in reference.comparisons
            if c in self.rows
            and self.rows[c].outcome.status == "ok"
            and pair(c) in needed
            and not has_reference(self.references, c)
        ]

    def _keep(self, comparison: Comparison, outcome: Outcome) -> None:
        image = Path(outcome.image) if outcome.image else None
        png = image.read_bytes() if image else None
        index = len(comparison.plans) - 1
        self.store.save(comparison, index, outcome, png, self.device, self.versions)
        if image:
            image.unlink()  # the store has it
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        bare = replace(outcome, image=None)
        row = Live(comparison, bare, self.device, self.versions, now)
        self.rows[comparison] = row
        lanes = [lane.comparisons for lane in self.sweep.lanes]
        unbegun = sum(not any(c in self.rows for c in lane) for lane in lanes)
        left = self.clock.left_s(self.sweep.total - len(self.rows), unbegun)
        self.say(Step(row, len(self.rows), self.sweep.total, left))


class _Clock:
    """Guesses the time that is left; a lane's first run also loads and warms up."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._later: list[float] = []
        self._since, self._begins = 0.0, True

    def start_lane(self) -> None:
        self._since, self._begins = time.perf_counter(), True

    def mark(self) -> None:
        """A run is done."""
        now = time.perf_counter()
        (self._first if self._begins else self._later).append(now - self._since)
        self._since, self._begins = now, False

    def left_s(self, runs: int, lanes: int) -> float:
        """Seconds for ``runs`` more, ``lanes`` of them the first of their lane."""
        known = self._first + self._later
        mean = sum(known) / len(known)
        first = sum(self._first) / len(self._first) if self._first else mean
        later = sum(self._later) / len(self._later) if self._later else mean
        return lanes * first + (runs - lanes) * later
