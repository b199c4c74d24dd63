"""The question that the Pick tab's controls ask, and what the catalogue answers to it.

Answers are kept for the life of the process: the catalogue does not change while it runs.
"""

from __future__ import annotations

import os
from functools import lru_cache

from quantlab.catalog.answer.pick import Recommendation, recommend
from quantlab.catalog.answer.proposals import Proposal, propose
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.machine import this_machine
from quantlab.catalog.schema import HARDWARE, NEEDS
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.ui.pick.answer_view import Query
from quantlab.ui.words import GIB

__all__ = ["default_query", "proposals_of", "read_query", "rows_of"]


def default_query(catalog: Catalog) -> Query:
    """What this machine is, as far as that can be told without importing torch.

    On a Space the machine is not the visitor's: there the question starts from a 12 GiB NVIDIA
    card, the one most people ask about.
    """
    full = "flux1-dev" if "flux1-dev" in catalog.models else None
    if os.environ.get("SPACE_ID"):
        return Query(hardware="cuda", model=full, memory_gib=12)
    machine = this_machine()
    hardware = machine.hardware[-1]
    mini = "flux-mini" if "flux-mini" in catalog.models else None
    return Query(
        hardware=hardware,
        model=mini if hardware == "cpu" else full,
        memory_gib=round(machine.device_bytes / GIB) if machine.device_bytes else None,
    )


def read_query(
    hardware: str | None,
    memory_gib: str | None,
    bits: str | None,
    model: str | None,
    library: str | None,
    needs: list[str] | None,
) -> Query:
    """The controls as a query; ``hardware`` may be a card, whose own memory then counts.

    Raises:
        InputError: names the control that holds what it may not.
    """
    card = load_gpus().get(hardware or "")
    kind = card.kind if card else hardware
    if kind not in HARDWARE:
        raise InputError("hardware", "choose one of the list")
    return Query(
        hardware=kind,
        gpu=card.id if card else None,
        memory_gib=None if card else _number("memory", memory_gib),
        bits=float(bits) if bits else None,
        model=model or None,
        library=library or None,
        needs=tuple(need for need in needs or () if need in NEEDS),
    )


def _number(part: str, text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError as error:
        raise InputError(part, f"{text!r:.40} is not a number of GiB") from error


@lru_cache(maxsize=256)
def rows_of(query: Query) -> tuple[Recommendation, ...]:
    """Every row of the table for ``query``.

    Raises:
        InputError: names the part that is wrong.
    """
    return tuple(
        recommend(
            hardware=query.hardware,
            bits=query.bits,
            needs=query.needs,
            library=query.library,
            model=query.model,
            memory_gib=query.memory_gib,
            gpu=query.gpu if query.model else None,
        )
    )


@lru_cache(maxsize=256)
def proposals_of(query: Query) -> tuple[Proposal, ...]:
    """The plans that are proposed, where a model is held against a device; else none."""
    if query.model is None or not query.places:
        return ()
    return propose(
        model=query.model,
        hardware=query.hardware,
        bits=query.bits,
        needs=query.needs,
        memory_gib=query.memory_gib,
        gpu=query.gpu,
    )
