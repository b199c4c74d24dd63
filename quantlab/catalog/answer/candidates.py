"""The plans that may be proposed at all, before any is held against a device.

A scheme may be where the catalogue says that it runs on the hardware or card, it did not fail on
the model's twin, nothing has to be built for it there, its library's packages are here, how it
stores weights is known, and so is its loss. The denoiser's is loaded through diffusers, a text
encoder's through transformers from the model's own files; the two are chosen apart. What only
writes the prompt anew gets what the text encoder gets, or is left out of every plan.

What another scheme beats in bytes, loss and seconds (on a card, at the model's own size; where no
card is known, only what is timed alike counts) while it is offloaded alike is left out here, so
that few pairs remain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from quantlab.catalog.answer.fits import scheme_support
from quantlab.catalog.answer.judge import Question
from quantlab.catalog.answer.loss import scheme_loss
from quantlab.catalog.answer.seconds import MODES, compiles, faster, speeds
from quantlab.catalog.answer.traps import traps_of
from quantlab.catalog.columns import SPEED
from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.machine import Machine, missing_packages
from quantlab.catalog.reach import why_not
from quantlab.catalog.read.twins import fail_on_twin
from quantlab.catalog.schema import Component, Model, Scheme
from quantlab.catalog.sizes.weights import component_bytes
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import Known, Mode, load_constants
from quantlab.words.plan import LEFT_OUT, Plan

__all__ = ["Alike", "absent", "candidates"]

Alike = tuple[Plan, ...]
"""A plan, eager, compiled or both: one in bytes and loss."""


@dataclass(frozen=True)
class _Part:
    """A scheme for one component."""

    scheme: str
    costs: tuple[float, ...]
    """What is better low: bytes, loss, and of a denoiser on a card its seconds in each mode."""
    alike: tuple[str, ...]
    """What it shares with those that it may stand for: how it is offloaded, and where no card is
    known the timing class."""


def candidates(
    catalog: Catalog,
    model: Model,
    question: Question,
    missing: frozenset[str],
    *,
    without: bool = False,
) -> tuple[Alike, ...]:
    """Every plan that may be proposed for ``question``; those that differ in nothing but the
    compiler stand together, the eager one first. ``missing`` are the methods that lack a package.
    ``without`` what only writes the prompt anew."""
    card = question.gpu.id if question.gpu else None
    asked = (question.hardware, question.bits, question.needs)
    denoisers, encoders = _schemes(catalog, model.id, card, asked, missing, question.known)
    read = [_read(model, scheme, without) for scheme in encoders]
    found = list[Alike]()
    for scheme, modes in denoisers:
        drawn = ((model.denoiser, scheme),) if scheme else ()
        for parts in ((*drawn, *each) for each in read):
            dtype = None if parts else model.base_dtype
            found.append(tuple(Plan(parts, dtype, compiled) for compiled in modes))
    return tuple(found)


def _read(model: Model, encoder: str | None, without: bool) -> tuple[tuple[str, str], ...]:
    """What a plan says of the components that read the prompt."""
    writer = LEFT_OUT if without else encoder
    named: dict[str, str | None] = dict.fromkeys(model.prompt_writers, writer)
    if model.encoder is not None:
        named[model.encoder.name] = encoder
    each = ((component.name, named.get(component.name)) for component in model.components)
    return tuple((name, scheme) for name, scheme in each if scheme)


def absent(catalog: Catalog, machine: Machine) -> frozenset[str]:
    """The methods that lack a package here."""
    return frozenset(m.id for m in catalog.methods.values() if missing_packages(m, machine))


@lru_cache(maxsize=32)
def _schemes(
    catalog: Catalog,
    model_id: str,
    card: str | None,
    asked: tuple[str | None, float | None, tuple[str, ...]],
    missing: frozenset[str],
    known: Known,
) -> tuple[tuple[tuple[str | None, tuple[bool, ...]], ...], tuple[str | None, ...]]:
    """The schemes of the denoiser, each with whether it is compiled, eager first, in the modes that
    are no trap; and those of the encoder. None keeps the model's dtype. Kept: the same whatever the
    host has; of the hundreds of plans that are made of them nothing is."""
    model, gpu = catalog.models[model_id], load_gpus().get(card or "")
    hardware, bits, needs = asked
    question = Question(hardware, bits, needs, None, model, None, gpu, known=known)
    real = [s for s in catalog.schemes.values() if s.storage and not s.emulated]
    usable = [s for s in real if s.method not in missing]
    parts = _parts(usable, model, model.components[0], question, catalog)
    first: list[str | None] = _fewest(parts, known.schemes)
    if question.bits is None:
        first.append(None)
    second, encoder = list[str | None]([None]), model.encoder
    if encoder is not None and not encoder.stored_as:
        through = Question(question.hardware, None, (), "transformers", model, None, question.gpu)
        second += _fewest(_parts(usable, model, encoder, through, catalog), known.schemes)
    modes = {
        one: [c for c in (False, True) if _may_run(one, c, question, catalog)] for one in first
    }
    return tuple((one, tuple(found)) for one, found in modes.items() if found), tuple(second)


def _parts(
    schemes: Iterable[Scheme],
    model: Model,
    component: Component,
    question: Question,
    catalog: Catalog,
) -> Iterator[_Part]:
    encoder = component is not model.components[0]
    names = (component.name, *(model.prompt_writers if encoder else ()))
    fails = frozenset[str]().union(*(fail_on_twin(model, n, catalog.models) for n in names))
    for scheme in schemes:
        loss = scheme_loss(scheme.id, encoder=encoder)
        if loss is None or why_not(scheme, component.library, component.cls):
            continue
        if scheme.id in fails:
            continue
        if scheme_support(scheme.id, question, catalog) != "runs":
            continue
        traps = traps_of(catalog.methods[scheme.method], scheme, question.hardware, question.gpu)
        if any(trap.builds for trap in traps):
            continue
        count = component_bytes(model, component.name, scheme.id, catalog=catalog)
        group, timing, times = catalog.offload_of(scheme).group, "", tuple[float, ...]()
        if not encoder and question.gpu is None:
            timing = scheme.timing
        elif not encoder and question.gpu is not None:
            told = speeds(scheme, model, question.gpu, question.known)
            times = tuple(told[mode][0] if mode in told else math.inf for mode in MODES)
        yield _Part(scheme.id, (count, loss, *times), (group, timing))


def _fewest(parts: Iterable[_Part], ran: frozenset[str]) -> list[str | None]:
    """Those that none alike beats, and those that ``ran`` there."""
    found = list(parts)
    return [
        one.scheme
        for one in found
        if one.scheme in ran
        or not any(
            other.alike == one.alike
            and other.costs != one.costs
            and all(a <= b for a, b in zip(other.costs, one.costs, strict=True))
            for other in found
        )
    ]


def _may_run(scheme_id: str | None, compiled: bool, question: Question, catalog: Catalog) -> bool:
    """Whether the mode is no trap: compiled where the catalogue says so, on a GPU of NVIDIA, whose
    compiled times are known; and never what is several times slower than 16-bit weights in it."""
    if compiled and question.hardware != "cuda":
        return False
    scheme = catalog.schemes.get(scheme_id or "")
    timing = load_constants().classes[scheme.timing if scheme else "none"]
    cost = timing.costs.get(Mode.COMPILED if compiled else Mode.EAGER)
    if cost is not None and cost.slower > 1:
        return False
    if scheme is not None and compiled and not compiles(catalog.methods[scheme.method], scheme):
        return False
    if SPEED.id in question.needs and (model := question.model) and question.gpu:
        return bool(
            scheme and faster(scheme, model, question.gpu, compiled=compiled, known=question.known)
        )
    return not compiled or cost is not None
