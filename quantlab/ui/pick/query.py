"""The question that the Pick tab's controls ask, and what the catalogue answers to it.

Answers are kept for the life of the process: the catalogue does not change while it runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from quantlab.catalog.answer.choices import propose
from quantlab.catalog.answer.pick import Recommendation, recommend
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.machine import this_machine
from quantlab.catalog.schema import HARDWARE, NEEDS, Model
from quantlab.catalog.table import Catalog
from quantlab.errors import InputError
from quantlab.ui.pick.answer_view import Query, picks
from quantlab.words.choice import Choice
from quantlab.words.plan import Plan
from quantlab.words.units import GIB

__all__ = [
    "QUESTION",
    "best_schemes",
    "choices_of",
    "default_query",
    "from_address",
    "read_query",
    "rows_of",
]

QUESTION = ("hardware", "memory", "bits", "model", "library", "needs")
"""The controls of the Pick tab, by name."""
MOST_BITS, MOST_MEMORY_GB = 32.0, 4096.0
MAX_ADDRESS = 500
"""Characters of an address that are read."""


def default_query(catalog: Catalog) -> Query:
    """What this machine is, as far as that can be told without importing torch.

    On a Space the machine is not the visitor's: there the question starts from a 12 GB NVIDIA
    card, the one most people ask about.
    """
    full = "flux1-dev" if "flux1-dev" in catalog.models else None
    if os.environ.get("SPACE_ID"):
        return Query(hardware="cuda", model=full, memory_gb=12)
    machine = this_machine()
    hardware = machine.hardware[-1]
    mini = "flux-mini" if "flux-mini" in catalog.models else None
    return Query(
        hardware=hardware,
        model=mini if hardware == "cpu" else full,
        memory_gb=round(machine.device_bytes / GIB) if machine.device_bytes else None,
    )


def read_query(asked: Mapping[str, Any]) -> Query:
    """The controls' values, by the names of ``QUESTION``, as a query.

    ``hardware`` may be a card, whose own memory then counts.

    Raises:
        InputError: names the control that holds what it may not.
    """
    hardware = str(asked["hardware"] or "")
    card = load_gpus().get(hardware)
    kind = card.kind if card else hardware
    if kind not in HARDWARE:
        raise InputError("hardware", "choose one of the list")
    return Query(
        hardware=kind,
        gpu=card.id if card else None,
        memory_gb=None if card else _number("memory", asked["memory"], MOST_MEMORY_GB),
        bits=_number("bits", asked["bits"], MOST_BITS),
        model=asked["model"] or None,
        library=asked["library"] or None,
        needs=tuple(need for need in asked["needs"] or () if need in NEEDS),
    )


def from_address(text: str) -> dict[str, Any] | None:
    """The values of all controls that the fragment of an address stands for; None where it asks
    for nothing, or for what cannot be asked."""
    pairs = dict(parse_qsl(text[:MAX_ADDRESS]))
    if "hardware" not in pairs:
        return None
    asked: dict[str, Any] = {name: pairs.get(name, "") for name in QUESTION}
    asked["needs"] = [need for need in asked["needs"].split(",") if need]
    try:
        rows_of(read_query(asked))
    except InputError:
        return None
    return asked


def best_schemes(catalog: Catalog, asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The schemes that the answer names, in its order: the transformer's and the text encoder's,
    "" where it keeps the model's dtype."""
    query = read_query(asked)
    if proposed := choices_of(query):
        model = catalog.models[query.model or ""]
        named = [_columns(choice.plan, model) for choice in proposed]
        return [pair for pair in dict.fromkeys(named) if any(pair)]
    found = picks(rows_of(query), catalog)
    return [(row.scheme, "") for _, row in found if row.scheme]


def _columns(text: str, model: Model) -> tuple[str, str]:
    """A plan as the choosers of a column hold it: both schemes, or its text where it says more."""
    plan = Plan.read(text, model.denoiser)
    encoder = model.encoder.name if model.encoder else ""
    parts = dict(plan.parts)
    if plan.compiled or set(parts) - {model.denoiser, encoder}:
        return (text, "")
    return (parts.get(model.denoiser, ""), parts.get(encoder, ""))


def _number(part: str, text: object, most: float) -> float | None:
    try:
        number = float(str(text)) if text else None
    except ValueError as error:
        raise InputError(part, f"{text!r:.40} is not a number") from error
    if number is not None and not 0 < number <= most:
        raise InputError(part, f"{text!r:.40}; a number above 0, up to {most:g}, is allowed")
    return number


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
def choices_of(query: Query) -> tuple[Choice, ...]:
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
    ).choices
