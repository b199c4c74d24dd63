"""What ``quantlab pick`` prints: the plans that fit a card, then every method with its verdict.

A row that does not run says what decides against it, and one that runs but not here says why not;
all reasons are in ``--json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from quantlab.catalog.answer.loss import word_of
from quantlab.catalog.answer.pick import Recommendation
from quantlab.catalog.machine import in_words
from quantlab.cli.propose import answer_to, lines_of
from quantlab.record.asking import recommended
from quantlab.record.known import measurements_here
from quantlab.words.units import GIB

__all__ = ["ask", "tell"]

ROW = "{:18}{:22}{:>10}  {:24}{:17}{}"
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
    print(ROW.format(*HEADS).rstrip())
    for row in rows:
        for line in _lines(row):
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


def _lines(row: Recommendation) -> Iterable[str]:
    here, _, why = row.here.partition(": ")
    size = f"{row.bytes / GIB:.2f} GiB" if row.bytes else "-"
    where = row.placement.kind.replace("-", " ") if row.placement else "-"
    picture = "-" if row.loss is None else f"{word_of(row.loss)} ({row.loss:.1%} off)"
    yield ROW.format(row.verdict, row.scheme or row.method, size, picture, where, here)
    for reason in row.against:
        yield f"    {reason}"
    if why and row.verdict.startswith("runs"):
        yield f"    on this machine: {in_words(row.here).removeprefix('refused: ')}"
