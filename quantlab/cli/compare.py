"""The compare command: runs, tells of progress on stderr, prints the table or JSON document."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantlab.catalog.advice import beforehand
from quantlab.catalog.answer.surprise import surprises
from quantlab.catalog.table import Catalog
from quantlab.errors import StoreError
from quantlab.record.documents import comparison_document
from quantlab.record.store.keeping import keep
from quantlab.record.store.store import Store
from quantlab.words.comparison import Comparison
from quantlab.words.metrics import METRICS
from quantlab.words.outcome import Event, Finished, Outcome, Progress
from quantlab.words.outcome_text import floor_text, placement_text

__all__ = ["run", "tell_beforehand"]

TABLED = tuple(row for row in METRICS if row.tabled)
HEADS = ("plan", *(row.head for row in TABLED), "floor L2", "placement")
WIDTHS = (32, *(max(9, len(head) + 2) for head in HEADS[1:-1]), 15)
"""Characters of each column; all but the plan stand to the right."""


def run(
    comparison: Comparison,
    catalog: Catalog,
    *,
    out: Path,
    repeats: int,
    warmup: int,
    isolate: bool,
    as_json: bool,
    stop: threading.Event,
) -> None:
    """Run ``comparison``, keep its outcomes in the store, and print them.

    Raises:
        KeyboardInterrupt: ``stop`` was set.
    """
    from quantlab.lab.bench.compare import Bench, compare
    from quantlab.lab.device import this_device
    from quantlab.lab.libraries import versions
    from quantlab.lab.references import files_of
    from quantlab.lab.runners.isolated import compare_isolated

    tell_beforehand([comparison], catalog)
    device, installed = this_device(), versions()
    keep = _Keeper(comparison, device.info(), installed, catalog)
    tell = _Teller(comparison)

    def say(event: Event) -> None:
        tell(event)
        keep(event)

    how: dict[str, Any] = {"out": out, "report": say, "stop": stop}
    how |= {"repeats": repeats, "warmup": warmup}
    if isolate:
        outcomes = compare_isolated(comparison, catalog=catalog, device=device, **how)
    else:
        outcomes = compare(comparison, bench=Bench(catalog, device), **how)
    if stop.is_set():
        raise KeyboardInterrupt
    keep.tell_surprises()
    for path in files_of(comparison.references):  # what the scripts of these plans read
        shutil.copyfile(path, out / path.name)
    if not as_json:
        _table(outcomes)
        return
    document = comparison_document(comparison, device.info(), installed, outcomes)
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def tell_beforehand(comparisons: Sequence[Comparison], catalog: Catalog) -> None:
    """What to know of the model before it runs these, which are alike but for prompt and seed; and
    of a score that is not fetched."""
    from quantlab.lab.bench.lpips import unmeasured

    model = catalog.models[comparisons[0].model]
    prompts = dict.fromkeys(comparison.prompt for comparison in comparisons)
    for sentence in beforehand(model, prompts, comparisons[0].sequence_length):
        print(f"quantlab: {sentence}", file=sys.stderr)
    if sentence := unmeasured():
        print(f"quantlab: {sentence}", file=sys.stderr)


class _Keeper:
    """Keeps outcomes in the store as they come; where that fails, says so once and goes on."""

    def __init__(
        self,
        comparison: Comparison,
        device: Mapping[str, Any],
        versions: Mapping[str, Any],
        catalog: Catalog,
    ) -> None:
        self._comparison, self._machine, self._catalog = comparison, (device, versions), catalog
        self._worse: list[tuple[str, str]] = []
        self._store: Store | None = None
        try:
            self._store = Store()
        except StoreError as error:
            self._give_up(str(error))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Finished):
            kept = keep(self._store, self._comparison, event, lambda: self._machine)
            if kept.problem:
                self._give_up(kept.problem)
            found = surprises(self._comparison, event.outcome, self._machine[0], self._catalog)
            if kept.id is not None:
                self._worse += [(kept.id, f"{event.outcome.plan} {one.text}") for one in found]

    def tell_surprises(self) -> None:
        """Say on stderr what was worse than predicted, and how to send it in."""
        for _, text in self._worse:
            print(f"quantlab: {text}", file=sys.stderr)
        if ids := " ".join(dict.fromkeys(result for result, _ in self._worse)):
            command = f"quantlab export --id {ids} --no-images --out rows.json"
            print(f"quantlab: a file of that to send: {command}", file=sys.stderr)

    def _give_up(self, problem: str) -> None:
        self._store = None
        print(f"quantlab: results are not kept: {problem}", file=sys.stderr)


class _Teller:
    """Progress on stderr: one line a plan, rewritten in place where that is a terminal."""

    def __init__(self, comparison: Comparison) -> None:
        self._names = [str(plan) for plan in comparison.plans]
        self._live = sys.stderr.isatty()

    def __call__(self, event: Event) -> None:
        name = f"[{event.index + 1}/{len(self._names)}] {self._names[event.index]}"
        if isinstance(event, Progress):
            if self._live:
                print(f"\r\033[K{name}: {event.text}", end="", file=sys.stderr, flush=True)
            return
        start = "\r\033[K" if self._live else ""
        print(f"{start}{name}: {_state(event)}", file=sys.stderr, flush=True)


def _state(event: Finished) -> str:
    error = event.outcome.error
    return "done" if error is None else f"failed at {error.stage}: {error.message}"


def _table(outcomes: Sequence[Outcome]) -> None:
    """The figures, then in words what must be known to read them."""
    print(_line(HEADS))
    for o in outcomes:
        if o.error is not None:
            print(f"{o.plan:32}  failed at {o.error.stage}: {o.error.message}")
        else:
            print(_line((o.plan, *_figures(o))))
    floors = [text for o in outcomes if (text := floor_text(o))]
    for text in dict.fromkeys(floors):
        print(text)
    if any(o.across_modes for o in outcomes):
        print("* a score across modes: eager held against compiled, or the reverse")
    for o in outcomes:
        for note in o.notes:
            print(f"{o.plan}: {note}")


def _line(cells: Sequence[str]) -> str:
    rest = zip(cells[1:], WIDTHS[1:], strict=True)
    return f"{cells[0]:{WIDTHS[0]}}" + "".join(f"{cell:>{width}}" for cell, width in rest)


def _figures(o: Outcome) -> tuple[str, ...]:
    found, mark = o.figures(), "*" if o.across_modes else ""
    cells = [row.cell(found.get(row.key)) + (mark if row.key in o.scores else "") for row in TABLED]
    floor = "-" if o.noise_floor is None else f"{o.noise_floor.rel_l2:.4f}"
    return (*cells, floor, placement_text(o) or "-")
