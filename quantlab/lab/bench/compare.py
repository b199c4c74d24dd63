"""A comparison, run: its plans one after the other in this process, or a single one of them."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

from quantlab.catalog.table import Catalog
from quantlab.lab.bench.reference import Reference
from quantlab.lab.bench.trial import Report, Trial
from quantlab.lab.device import Device
from quantlab.lab.keep.variants import opted
from quantlab.lab.libraries import resolve
from quantlab.lab.load.pool import Pool
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Finished, Outcome

__all__ = ["Bench", "compare", "compare_one", "in_turn"]


class Bench:
    """Runs plans of comparisons on a device and keeps what it loaded between them.

    ``budget_bytes`` is for what waits to be used again; None is a quarter of the host's memory.
    """

    def __init__(self, catalog: Catalog, device: Device, budget_bytes: int | None = None) -> None:
        budget = _default_budget() if budget_bytes is None else budget_bytes
        self.pool = Pool(budget, catalog, device, opted())

    def trial(
        self,
        comparison: Comparison,
        *,
        out: Path,
        report: Report = lambda _: None,
        stop: threading.Event | None = None,
        repeats: int = 1,
        warmup: int = 1,
    ) -> Trial:
        """A comparison to run plan by plan; see ``compare`` for the arguments."""
        stop = stop or threading.Event()
        return Trial(self.pool, comparison, out, report, stop, repeats, warmup)


def compare(
    comparison: Comparison,
    *,
    bench: Bench,
    out: Path,
    report: Report = lambda _: None,
    stop: threading.Event | None = None,
    repeats: int = 1,
    warmup: int = 1,
    done: Collection[int] = (),
    reference: Path | None = None,
) -> list[Outcome]:
    """Run every plan in order; ``report`` hears of progress and of each outcome at once.

    Images appear under ``out`` as PNG, whole or not at all. ``repeats`` runs are counted after
    ``warmup`` that are not. The file ``reference`` carries the first plan's results to a process
    that goes on where another ended, with plans ``done``; gives the outcomes of the rest.
    """
    trial = bench.trial(
        comparison, out=out.resolve(), report=report, stop=stop, repeats=repeats, warmup=warmup
    )
    if reference is not None and 0 in done:
        trial.reference = Reference.read(reference)
    outcomes: dict[int, Outcome] = {}
    for index in in_turn(comparison, bench.pool.catalog):
        if index in done:
            continue
        outcomes[index] = trial.outcome(index, comparison.plans[index])
        if index == 0 and reference is not None and trial.reference is not None:
            trial.reference.save(reference)
        report(Finished(index, outcomes[index]))
    return [outcomes[index] for index in sorted(outcomes)]


def in_turn(comparison: Comparison, catalog: Catalog) -> list[int]:
    """The reference, then the other plans in their order, those whose library builds a kernel
    when it is loaded last: nobody waits for a compiler but who asked for it."""
    first, *others = range(len(comparison.plans))

    def builds(index: int) -> bool:
        known = (catalog.schemes.get(scheme) for _, scheme in comparison.plans[index].parts)
        return any("compiler" in scheme.requires for scheme in known if scheme is not None)

    return [first, *sorted(others, key=builds)]


def compare_one(
    comparison: Comparison,
    index: int,
    *,
    bench: Bench,
    out: Path,
    report: Report,
    repeats: int,
    warmup: int,
    reference: Path,
) -> Outcome:
    """Run plan ``index`` alone; ``reference`` is a file that carries the first plan's results."""
    trial = bench.trial(comparison, out=out, report=report, repeats=repeats, warmup=warmup)
    if index:
        trial.reference = Reference.read(reference)
    outcome = trial.outcome(index, comparison.plans[index])
    if index == 0 and trial.reference is not None:
        trial.reference.save(reference)
    return outcome


def _default_budget() -> int:
    """A quarter of this machine's memory for loaded components that wait to be used again."""
    return int(resolve("psutil.virtual_memory")().total) // 4
