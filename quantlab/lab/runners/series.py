"""One plan over many prompts and seeds: loaded once, warmed up once, run for each.

The fidelity of a run needs what the reference plan made of the same prompt and seed; that is kept
in a folder, a file each, so that any process can take it up. Knows nothing of the store or of the
order of plans (record/sweeps/sweep.py).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.bench.compare import Bench
from quantlab.lab.bench.reference import Reference
from quantlab.lab.bench.run import Encoded
from quantlab.lab.device import Device, this_device
from quantlab.lab.load.fits import died
from quantlab.lab.runners.child import Child, Expired, serve
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome

__all__ = ["Embeddings", "Series", "reference_path", "run_apart", "run_series"]

CHILD = "quantlab.lab.runners.series"
Embeddings = dict[str, dict[tuple[Any, ...], Encoded]]
"""By prompt and by the text encoders that made them."""
MAX_DEATHS = 2
LIMIT_S = 3600.0
"""How long a process of its own may stay silent, for one run on any model."""


@dataclass(frozen=True)
class Series:
    """Comparisons that differ in prompt and seed, and where their runs leave files.

    ``comparisons`` name the reference plan first; the plan that is run is their last. Images go
    to ``out``, what the reference made to ``references``. ``warmup`` runs come before the first
    comparison only.
    """

    comparisons: tuple[Comparison, ...]
    out: Path
    references: Path
    repeats: int = 1
    warmup: int = 1


def run_series(
    series: Series, bench: Bench, stop: threading.Event, encoded: Embeddings | None = None
) -> Iterator[Outcome]:
    """Run the comparisons' last plan; an outcome for each, in order, as it is done.

    ``peak_bytes`` counts from before the plan was loaded, for every outcome. ``encoded`` carries
    embeddings from one series to the next; what encoding took is counted all the same.
    """
    encoded = {} if encoded is None else encoded
    peak = 0
    for turn, comparison in enumerate(series.comparisons):
        trial = bench.trial(
            comparison,
            out=series.out / _name(comparison),
            stop=stop,
            repeats=series.repeats,
            warmup=series.warmup if turn == 0 else 0,
        )
        trial.encoded = encoded.setdefault(comparison.prompt, {})
        index = len(comparison.plans) - 1
        path = reference_path(series.references, comparison)
        if index:
            trial.reference = Reference.read(path)
        outcome = trial.outcome(index, comparison.plans[index])
        if index == 0 and trial.reference is not None:
            trial.reference.save(path)
        peak = max(peak, outcome.peak_bytes or 0)
        yield replace(outcome, peak_bytes=peak) if outcome.peak_bytes else outcome


def run_apart(
    series: Series, stop: threading.Event, catalog: Catalog, device: Device, child: str = CHILD
) -> Iterator[Outcome]:
    """As ``run_series``, in a fresh process, which will run on ``device``.

    A comparison whose process dies is a failed outcome, and a fresh process goes on with the
    next. After two deaths without an outcome between them the rest is not tried.
    """
    left, deaths = series.comparisons, 0
    while left and deaths < MAX_DEATHS and not stop.is_set():
        apart = _one_process(replace(series, comparisons=left), stop, catalog, device, child)
        for outcome in apart:
            dead = outcome.error is not None and outcome.error.type == "ChildDied"
            deaths = deaths + 1 if dead else 0
            left = left[1:]
            yield outcome


def _one_process(
    series: Series, stop: threading.Event, catalog: Catalog, device: Device, module: str
) -> Iterator[Outcome]:
    job = {
        "comparisons": [comparison.as_dict() for comparison in series.comparisons],
        "out": str(series.out.resolve()),
        "references": str(series.references.resolve()),
        "repeats": series.repeats,
        "warmup": series.warmup,
    }
    with Child(module, job) as child:
        for comparison in series.comparisons:
            try:
                event = child.next(LIMIT_S)
                reason = child.how_it_ended() if event is None else ""
            except Expired:
                event, reason = None, f"gave no answer within {LIMIT_S:g} s"
            if event is None:
                if not stop.is_set():
                    yield died(
                        comparison,
                        comparison.plans[-1],
                        reason,
                        killed=child.was_killed,
                        catalog=catalog,
                        device=device,
                    )
                return
            yield Outcome.from_dict(event)


def _name(comparison: Comparison) -> str:
    """A file name for what all plans of a prompt and seed share."""
    shared = {**comparison.as_dict(), "plans": [str(comparison.plans[0])]}
    return hashlib.sha256(repr(sorted(shared.items())).encode()).hexdigest()[:16]


def reference_path(references: Path, comparison: Comparison) -> Path:
    """The file that keeps what the reference plan made of this prompt and seed."""
    return references / f"{_name(comparison)}.pt"


def main() -> None:
    """The child: run a series, tell of each outcome."""

    catalog = load_catalog()

    def work(job: dict[str, Any], tell: Callable[[Mapping[str, Any]], None]) -> None:
        comparisons = (make_comparison(**values, catalog=catalog) for values in job["comparisons"])
        series = Series(
            comparisons=tuple(comparisons),
            out=Path(job["out"]),
            references=Path(job["references"]),
            repeats=job["repeats"],
            warmup=job["warmup"],
        )
        for outcome in run_series(series, Bench(catalog, this_device()), threading.Event()):
            tell(outcome.as_dict())

    serve(work)


if __name__ == "__main__":
    main()
