"""What ``quantlab pick`` prints: the plans that fit a card, then every method with its verdict.

A row that does not run says what decides against it, and one that runs but not here says why not;
all reasons are in ``--json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from quantlab.catalog.answer.pick import Recommendation, recommend
from quantlab.catalog.answer.proposals import Proposal, propose
from quantlab.catalog.machine import in_words
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.rows import target
from quantlab.catalog.table import load_catalog
from quantlab.words.units import GIB

__all__ = ["ask", "tell"]

ROW = "{:18}{:22}{:>10}  {:17}{}"
HEADS = ("verdict", "scheme", "weights", "where", "on this machine")


def ask(arguments: argparse.Namespace) -> list[Recommendation]:
    """Every method with its verdict on the question that ``arguments`` ask.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    return recommend(**_question(arguments), library=arguments.library)


def tell(arguments: argparse.Namespace, rows: Iterable[Recommendation]) -> None:
    """Print the plans that fit, where a model is held against a card, and the rows."""
    sized = arguments.gpu or arguments.memory_gib is not None
    if arguments.model and sized and arguments.library != "transformers":
        model = load_catalog().models[arguments.model]
        for line in _proposed(propose(**_question(arguments)), model):
            print(line)
    print(ROW.format(*HEADS).rstrip())
    for row in rows:
        for line in _lines(row):
            print(line)


def _question(arguments: argparse.Namespace) -> dict[str, Any]:
    """What ``recommend`` and ``propose`` are both asked."""
    return {
        "hardware": arguments.hardware,
        "bits": arguments.bits,
        "needs": arguments.need,
        "model": arguments.model,
        "memory_gib": arguments.memory_gib,
        "gpu": arguments.gpu,
        "ram_gib": arguments.ram_gib,
    }


def _proposed(proposals: Iterable[Proposal], model: Model) -> Iterable[str]:
    """A plan for each way of placing it that fits, with what it takes."""
    for proposal in proposals:
        placement = proposal.placement
        takes = (
            f"{placement.peak_bytes / GIB:.1f} of {proposal.device_bytes / GIB:.1f} GiB at the "
            f"peak, {placement.host_bytes / GIB:.1f} GiB of host memory"
        )
        if proposal.download_bytes:
            takes += f", {proposal.download_bytes / GIB:.1f} GiB to download"
        yield f"{placement.kind.replace('-', ' ')}: {_plan(proposal, model)}"
        yield f"    {takes}; predicted"
        yield from (f"    licence of {said}" for said in proposal.licences)
    yield ""


def _plan(proposal: Proposal, model: Model) -> str:
    """The plan's text, as ``--plans`` takes it."""
    encoder = target(model, "transformers")
    parts = [f"transformer={proposal.transformer}"] if proposal.transformer else []
    if proposal.encoder and encoder is not None:
        parts.append(f"{encoder.name}={proposal.encoder}")
    return ",".join(parts) or model.base_dtype


def _lines(row: Recommendation) -> Iterable[str]:
    here, _, why = row.here.partition(": ")
    size = f"{row.bytes / GIB:.2f} GiB" if row.bytes else "-"
    where = row.placement.kind.replace("-", " ") if row.placement else "-"
    yield ROW.format(row.verdict, row.scheme or row.method, size, where, here)
    for reason in row.against:
        yield f"    {reason}"
    if why and row.verdict.startswith("runs"):
        yield f"    on this machine: {in_words(row.here).removeprefix('refused: ')}"
