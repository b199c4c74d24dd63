"""The question that the Pick tab's controls ask, and what the catalogue answers to it.

Answers are kept for the life of the process: the catalogue does not change while it runs.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

from quantlab.catalog.answer.choices import Answer, propose
from quantlab.catalog.answer.pick import Recommendation, recommend
from quantlab.catalog.gpus import choose, load_gpus
from quantlab.catalog.machine import this_machine
from quantlab.catalog.schema import HARDWARE, NEEDS, Model
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.catalog.time import NOTHING, Known
from quantlab.errors import InputError
from quantlab.record.known import CPU
from quantlab.ui.pick.answer_view import Query, picks
from quantlab.ui.services import Services
from quantlab.words.choice import Choice
from quantlab.words.numbers import plain
from quantlab.words.plan import Plan
from quantlab.words.units import GIB

__all__ = [
    "QUESTION",
    "address_of",
    "answer_of",
    "asked_of",
    "best_schemes",
    "choices_of",
    "default_query",
    "from_address",
    "known_of",
    "model_named",
    "read_query",
    "rows_of",
    "state_of",
]

QUESTION = ("hardware", "memory", "ram", "bits", "model", "library", "needs")
"""The controls of the Pick tab, by name; ``ram`` is the host's memory."""
MOST_BITS, MOST_MEMORY_GB = 32.0, 4096.0
USUAL_CARD = "rtx-3060-12gb"
"""Asked about where this machine has no card that is known: the visitor's is another one."""
_UNIT = re.compile(r"\s*(?:gi?b?|bits?)$", re.IGNORECASE)
"""What people type behind a number, as the lists have it."""
MAX_ADDRESS = 500
"""Characters of an address that are read."""


def default_query(catalog: Catalog) -> Query:
    """What this machine is, as far as that can be told without importing torch.

    Where it has no GPU, and on a Space, whose machine is not the visitor's, the question starts
    from a 12 GB card. The model is the first in rank that is not a toy.
    """
    listed = (model for model in catalog.models.values() if not model.local and not model.own)
    full = next((model.id for model in listed), None)  # the first in rank
    machine = this_machine()
    hardware = machine.hardware[-1]
    if os.environ.get("SPACE_ID") or hardware == "cpu":
        return Query(hardware=load_gpus()[USUAL_CARD].kind, model=full, gpu=USUAL_CARD)
    return Query(
        hardware=hardware,
        model=full,
        memory_gb=round(machine.device_bytes / GIB) if machine.device_bytes else None,
    )


def read_query(asked: Mapping[str, Any]) -> Query:
    """The controls' values, by the names of ``QUESTION``, as a query.

    ``hardware`` may be a card as people type it, whose own memory then counts.

    Raises:
        InputError: names the control that holds what it may not.
    """
    hardware = str(asked["hardware"] or "").strip()
    card = None if hardware in HARDWARE else choose(hardware, "card")
    return Query(
        hardware=card.kind if card else hardware,
        gpu=card.id if card else None,
        memory_gb=None if card else _number("memory", asked["memory"], MOST_MEMORY_GB),
        ram_gib=_number("host memory", asked.get("ram"), MOST_MEMORY_GB),
        bits=_number("bits", asked["bits"], MOST_BITS),
        model=model_named(str(asked["model"] or "")),
        library=asked["library"] or None,
        needs=tuple(need for need in asked["needs"] or () if need in NEEDS),
    )


def model_named(text: str) -> str | None:
    """The id of the model that ``text`` means: its id, its name, or what is near one of them.

    Raises:
        InputError: none is meant; names the nearest.
    """
    wanted = _plain(text)
    if not wanted:
        return None
    models = load_catalog().models
    spelled = {_plain(name): each.id for each in models.values() for name in (each.id, each.name)}
    if wanted in spelled:
        return spelled[wanted]
    held = {spelled[name] for name in spelled if wanted in name}
    if len(held) == 1:
        return held.pop()
    near = [spelled[name] for name in get_close_matches(wanted[:60], spelled, n=3, cutoff=0.6)]
    if len(held) > 1 or not near:
        named = ", ".join(sorted(held)[:6] or models)
        raise InputError("model", f"{text!r:.60}: name one of {named}")
    return near[0]


def _plain(text: str) -> str:
    """Letters and digits alone: how a name is spelled otherwise does not matter."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def address_of(query: Query) -> str:
    """The fragment of an address that asks ``query``; ``from_address`` reads it."""
    said = {
        "hardware": query.gpu or query.hardware,
        "memory": f"{query.memory_gb:g}" if query.memory_gb else "",
        "ram": f"{query.ram_gib:g}" if query.ram_gib else "",
        "bits": f"{query.bits:g}" if query.bits else "",
        "model": query.model or "",
        "library": query.library or "",
        "needs": ",".join(query.needs),
    }
    return urlencode({name: value for name, value in said.items() if value}, safe=",")


def asked_of(address: str) -> dict[str, Any] | None:
    """The values of all controls that the fragment of an address has; None where it asks for
    nothing."""
    pairs = dict(parse_qsl(address[:MAX_ADDRESS]))
    if "hardware" not in pairs:
        return None
    asked: dict[str, Any] = {name: pairs.get(name, "") for name in QUESTION}
    asked["needs"] = [need for need in asked["needs"].split(",") if need]
    return asked


def from_address(text: str) -> dict[str, Any] | None:
    """As ``asked_of``; None also where it asks for what cannot be asked."""
    asked = asked_of(text)
    try:
        rows_of(read_query(asked or {}))
    except (KeyError, InputError):
        return None
    return asked


def best_schemes(
    services: Services, asked: Mapping[str, Any]
) -> tuple[list[tuple[str, str]], list[str]]:
    """The schemes that the answer names, in its order: the transformer's and the text encoder's,
    "" where it keeps the model's dtype; and the settings without which one of them does not fit."""
    query, catalog = read_query(asked), services.catalog
    known = known_of(query, services)
    if proposed := choices_of(query, known):
        model = catalog.models[query.model or ""]
        named = [_columns(choice.plan, model) for choice in proposed]
        settings = dict.fromkeys(key for choice in proposed for key in choice.settings)
        return [pair for pair in dict.fromkeys(named) if any(pair)], list(settings)
    found = picks(rows_of(query, known), catalog)
    return [(row.scheme, "") for _, row in found if row.scheme], []


def _columns(text: str, model: Model) -> tuple[str, str]:
    """A plan as the choosers of a column hold it: both schemes, or its text where it says more."""
    plan = Plan.read(text, model.denoiser)
    encoder = model.encoder.name if model.encoder else ""
    parts = dict(plan.parts)
    if plan.compiled or plan.trimmed or set(parts) - {model.denoiser, encoder}:
        return (text, "")
    return (parts.get(model.denoiser, ""), parts.get(encoder, ""))


def _number(part: str, text: object, most: float) -> float | None:
    spelled = _UNIT.sub("", str(text or "").strip())
    try:
        number = float(spelled) if spelled else None
    except ValueError as error:
        raise InputError(part, f"{text!r:.40} is not a number") from error
    if number is not None and not 0 < number <= most:
        raise InputError(part, f"{text!r:.40}; a number above 0, up to {plain(most)}, is allowed")
    return number


def state_of(asked: str, services: Services) -> object:
    """What changes where a question (JSON) may have another answer: results of a CPU, which a page
    on one keeps all day, count where it is asked about alone."""
    measured = services.measured
    of_cpu = json.dumps(CPU) in asked or f"hardware={CPU}" in asked  # values, or an address
    return measured.state if of_cpu else measured.card_state


def known_of(query: Query, services: Services) -> Known:
    """What was measured on the device that ``query`` is about.

    Raises:
        QuantlabError: the steps that are run of a model that ships cannot be.
    """
    return services.measured.of(query.model, query.card, query.hardware if query.places else None)


@lru_cache(maxsize=256)
def rows_of(query: Query, known: Known = NOTHING) -> tuple[Recommendation, ...]:
    """Every row of the table for ``query``; ``known`` is what was measured on its device.

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
            ram_gib=query.ram_gib if query.model else None,
            known=known,
        )
    )


def choices_of(query: Query, known: Known = NOTHING) -> tuple[Choice, ...]:
    """The plans that are proposed, where a model is held against a device; else none."""
    return answer_of(query, known).choices


@lru_cache(maxsize=256)
def answer_of(query: Query, known: Known = NOTHING) -> Answer:
    """The plans that are proposed and, where nothing fits, what comes nearest."""
    if query.model is None or not query.places:
        return Answer(())
    return propose(
        model=query.model,
        hardware=query.hardware,
        bits=query.bits,
        needs=query.needs,
        memory_gib=query.memory_gib,
        gpu=query.gpu,
        ram_gib=query.ram_gib,
        known=known,
    )
