"""Runs a sweep into the store, so that it can be killed at any moment and goes on.

A row goes to the store as soon as it is measured; a row that is there, measured on the same
machine with the same versions, weights and settings, is not measured again. Knows the store and
the place where plans are run (sweeps/place.py, sweeps/on_ray.py); prints nothing.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from quantlab.catalog.paths import cache_folder
from quantlab.lab.keep.scratch import scratch
from quantlab.lab.runners.series import Series, reference_path
from quantlab.record.results.export import Live, Row
from quantlab.record.store.store import Store
from quantlab.record.sweeps.place import Measured, Place
from quantlab.record.sweeps.sweep import Lane, Sweep, pair
from quantlab.words.comparison import Comparison

__all__ = ["Step", "run"]

Say = Callable[["Step"], None]


@dataclass(frozen=True)
class Step:
    """One more row: ``done`` of ``total``, and how many seconds the rest may take."""

    row: Row
    done: int
    total: int
    left_s: float


def run(
    sweep: Sweep,
    store: Store,
    place: Place,
    *,
    say: Say = lambda _: None,
    start: Callable[[int], None] = lambda _: None,
    stop: threading.Event | None = None,
    retry: bool = False,
) -> list[Row]:
    """Measure at ``place`` what the store does not hold yet; gives all rows of the sweep.

    ``start`` is told how many rows were there,
    ``say`` of each new one. With ``retry`` failed rows are measured again.

    Raises:
        StoreError: a row could not be kept; what was kept before stays, a new call goes on there.
    """
    run = _Run(sweep, store, place, say, stop or threading.Event())
    return run.all(start, retry)


class _Run:
    """A sweep under way."""

    def __init__(
        self, sweep: Sweep, store: Store, place: Place, say: Say, stop: threading.Event
    ) -> None:
        self.sweep, self.store, self.place, self.say, self.stop = sweep, store, place, say, stop
        self.machines = list(place.machines())
        self.rows: dict[Comparison, Row] = {}
        self.clock = _Clock()
        about = sorted(json.dumps(m, sort_keys=True, default=str) for m in self.machines)
        name = hashlib.sha256("".join(about).encode()).hexdigest()[:16]
        self.references = cache_folder() / "sweep" / name

    def all(self, start: Callable[[int], None], retry: bool) -> list[Row]:
        self.rows = {
            comparison: row
            for comparison, row in self._kept().items()
            if not (retry and row.outcome.status == "failed")
        }
        start(len(self.rows))
        reference, *others = self.sweep.lanes
        with scratch() as folder:
            # The others are held against what the reference leaves, so it is done before them.
            self._measure([self._series(reference, self._lost_references(), Path(folder))])
            self._measure([self._series(lane, [], Path(folder)) for lane in others])
        wanted = (c for lane in self.sweep.lanes for c in lane.comparisons)
        return [self.rows[comparison] for comparison in wanted if comparison in self.rows]

    def _kept(self) -> dict[Comparison, Row]:
        """Rows of this sweep that the store holds, measured under the same circumstances."""
        wanted = {c: lane for lane in self.sweep.lanes for c in lane.comparisons}
        found: dict[Comparison, Row] = {}
        for row in self.store.recent(2**31, images=False):
            if (
                row.comparison in wanted
                and row.comparison not in found
                and row.plan == str(row.comparison.plans[-1])
                and row.imported_at is None
                and self._is_of_now(row, wanted[row.comparison])
                and (row.outcome.error or len(row.outcome.latency_s) >= self.sweep.repeats)
            ):
                found[row.comparison] = row
        return found

    def _is_of_now(self, row: Row, lane: Lane) -> bool:
        """Whether nothing that the figures depend on has changed since."""
        about = dict(row.device), dict(row.versions)
        return any(about == (device, lane.versions(known)) for device, known in self.machines)

    def _series(self, lane: Lane, again: Sequence[Comparison], out: Path) -> Series:
        todo = [c for c in lane.comparisons if c not in self.rows]
        return Series(
            comparisons=tuple(dict.fromkeys([*todo, *again])),
            out=out,
            references=self.references,
            repeats=self.sweep.repeats,
            warmup=self.sweep.warmup,
        )

    def _measure(self, lanes: Sequence[Series]) -> None:
        lanes = [series for series in lanes if series.comparisons]
        if lanes and not self.stop.is_set():
            for measured in self.place.measure(lanes, self.stop):
                self.clock.note(measured)
                if self.stop.is_set() and measured.outcome.status == "failed":
                    return  # by that, as likely as not
                if measured.comparison not in self.rows:
                    self._keep(measured)
                if self.stop.is_set():
                    return

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
            and not reference_path(self.references, c).exists()
        ]

    def _keep(self, new: Measured) -> None:
        index = len(new.comparison.plans) - 1
        lane = next(lane for lane in self.sweep.lanes if new.comparison in lane.comparisons)
        device, versions = new.about[0], lane.versions(new.about[1])
        self.store.save(new.comparison, index, new.outcome, new.png, device, versions)
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        row = Live(new.comparison, replace(new.outcome, image=None), device, versions, now)
        self.rows[new.comparison] = row
        lanes = [lane.comparisons for lane in self.sweep.lanes]
        unbegun = sum(not any(c in self.rows for c in lane) for lane in lanes)
        unfinished = sum(not all(c in self.rows for c in lane) for lane in lanes)
        alone_s = self.clock.left_s(self.sweep.total - len(self.rows), unbegun)
        left_s = alone_s / max(1, min(self.place.workers, unfinished))
        self.say(Step(row, len(self.rows), self.sweep.total, left_s))


class _Clock:
    """Guesses the time that one worker still needs; a plan's first run also loads and warms up."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._later: list[float] = []

    def note(self, measured: Measured) -> None:
        """A run is done."""
        (self._first if measured.first else self._later).append(measured.seconds)

    def left_s(self, runs: int, lanes: int) -> float:
        """Seconds for ``runs`` more, ``lanes`` of them the first of their lane."""
        known = self._first + self._later
        mean = sum(known) / len(known)
        first = sum(self._first) / len(self._first) if self._first else mean
        later = sum(self._later) / len(self._later) if self._later else mean
        return lanes * first + (runs - lanes) * later
