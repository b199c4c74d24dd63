"""What ``quantlab pick`` prints: the plans that fit a card, then every method with its verdict.

A row that does not run says what decides against it, and one that runs but not here says why not;
a warning that holds for several rows is said once, under the table. All reasons are in ``--json``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from quantlab.catalog.answer.loss import word_of
from quantlab.catalog.answer.pick import Recommendation
from quantlab.catalog.machine import in_words
from quantlab.catalog.placement import Placement
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import plain_bytes
from quantlab.cli.propose import answer_to, lines_of
from quantlab.record.asking import recommended
from quantlab.record.known import measurements_here
from quantlab.words.units import size

__all__ = ["ask", "tell"]

ROW = "{:18}{:22}{:>10}  {:24}{:17}"
HEADS = ("verdict", "scheme", "weights", "picture", "where", "on this machine")


def ask(arguments: argparse.Namespace) -> list[Recommendation]:
    """Every method with its verdict on the question that ``arguments`` ask.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    catalog = arguments.catalog
    asked = {**_question(arguments), "library": arguments.library}
    return recommended(catalog, measurements_here(catalog), **asked)


def tell(arguments: argparse.Namespace, rows: Iterable[Recommendation]) -> None:
    """Print the plans that fit, where a model is held against a card, and the rows."""
    sized = arguments.gpu or arguments.memory_gib is not None
    if arguments.model and sized and arguments.library != "transformers":
        measured = measurements_here(arguments.catalog)
        answer = answer_to(arguments, measured, run_steps=False)  # pick imports no torch
        for choice in answer.choices:
            print("\n".join(lines_of(choice)))
        for told in filter(None, (answer.nearest, answer.instead)):
            print(told)
        print()
    rows = list(rows)
    model = arguments.catalog.models.get(arguments.model or "")
    writers = model.prompt_writers if model and any(row.bare for row in rows) else ()
    for line in _writers(model) if model and writers else ():
        print(line)
    for line in _table(rows, f"no {model.family.label(writers[0])}" if model and writers else ""):
        print(line)


def _question(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "hardware": arguments.hardware,
        "bits": arguments.bits,
        "needs": arguments.need,
        "model": arguments.model,
        "memory_gib": arguments.memory_gib,
        "gpu": arguments.gpu,
        "ram_gib": arguments.ram_gib,
    }


def _table(rows: Sequence[Recommendation], bare: str) -> Iterator[str]:
    """The lines of the table; ``bare`` heads where a row is kept without what writes the prompt
    anew, and is empty where no row is."""
    said = Counter(reason for row in rows for reason in dict.fromkeys(row.warned))
    shared = [reason for reason, times in said.items() if times > 1]
    yield _line(HEADS, bare, bare)
    for row in rows:
        here, _, why = row.here.partition(": ")
        marks = "".join(f" [{shared.index(r) + 1}]" for r in row.against if r in shared)
        yield _line((*_cells(row), here + marks), bare, _where(row.bare))
        yield from (f"    {reason}" for reason in row.against if reason not in shared)
        if why and row.verdict.startswith("runs"):
            yield f"    on this machine: {in_words(row.here).removeprefix('refused: ')}"
    if shared:
        yield ""
    yield from (f"[{n}] {reason}" for n, reason in enumerate(shared, start=1))


def _line(cells: tuple[str, ...], bare: str, cell: str) -> str:
    """A line of the table, with a ``cell`` of the column ``bare`` where there is one."""
    *first, last = cells
    more = f"{cell:{len(bare) + 2}}" if bare else ""
    return f"{ROW.format(*first)}{more}{last}".rstrip()


def _cells(row: Recommendation) -> tuple[str, ...]:
    weights = size(row.bytes) if row.bytes else "-"
    picture = "-" if row.loss is None else f"{word_of(row.loss)} ({row.loss:.1%} off)"
    return row.verdict, row.scheme or row.method, weights, picture, _where(row.placement)


def _where(placement: Placement | None) -> str:
    return placement.kind.replace("-", " ") if placement else "-"


def _writers(model: Model) -> Iterator[str]:
    """What the rows hold of a component that writes the prompt anew, a sentence each."""
    for name in model.prompt_writers:
        large = size(plain_bytes(model, name, WIDTHS[model.base_dtype]))
        yield (
            f"In each row the {model.family.label(name)} stays in {model.base_dtype}, {large}; a "
            f"plan quantizes it ({name}=SCHEME) or leaves it out ({name}=none)."
        )
