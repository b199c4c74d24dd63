"""Pick: hardware, bits and needs in, every method with a verdict and its reasons out.

Verdicts come from the catalogue's cells, what probes measured of them and predicted sizes only
(answer/judge.py); what this machine makes of a scheme is said apart (machine.py). Order: verdict,
loss (catalog/answer/loss.py; those that nobody measured last), measured before documented before
predicted, predicted bytes, name. There are no weights.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from quantlab.catalog.answer.judge import VERDICTS, Claim, Question, judge, worst
from quantlab.catalog.answer.loss import scheme_loss
from quantlab.catalog.gpus import choose_one
from quantlab.catalog.machine import Machine, here, this_machine
from quantlab.catalog.placement import Placement
from quantlab.catalog.read.measured import Finding, findings_for, this_machines
from quantlab.catalog.schema import (
    HARDWARE,
    LIBRARIES,
    NEEDS,
    Evidence,
    Method,
    Scheme,
    Support,
    Verdict,
)
from quantlab.catalog.sizes.rows import sizes, target
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.catalog.time import NOTHING, Known
from quantlab.errors import InputError
from quantlab.words.numbers import above_zero
from quantlab.words.plan import Plan

__all__ = ["Recommendation", "nearest", "read_question", "recommend"]

_EVIDENCE: tuple[Evidence, ...] = ("measured", "documented", "predicted")
_MAX_MEMORY_GIB = 4096.0
_MAX_LISTED = 10
"""Of more values than these an error names the nearest, so that it stays a sentence."""


@dataclass(frozen=True)
class Recommendation:
    """One row. ``scheme`` is None for a method, or a width of it, that has no scheme here.

    ``bytes`` are the predicted weight bytes of the model's whole pipeline with this scheme on its
    transformer (on its last text encoder where the library asked for is transformers) and all else
    in the base dtype; None without a model or where the way of storing is not known.
    """

    method: str
    scheme: str | None
    verdict: Verdict
    evidence: Evidence
    bytes: int | None
    reasons: tuple[str, ...]
    here: str
    placement: Placement | None = None
    """Where the weights are kept on the device that was asked about, where one was and it fits."""
    bare: Placement | None = None
    """The same where what writes the prompt anew is left out, where the model has such a part."""
    loss: float | None = None
    """How far it moves the picture, measured on flux-mini (answer/loss.py); None: not known."""
    against: tuple[str, ...] = ()
    """Those of the reasons that warn, or decide where the verdict is neither of both that run."""
    warned: tuple[str, ...] = ()
    """Those that warn."""

    def as_dict(self) -> dict[str, object]:
        """The keys that ``python -m quantlab pick --json`` promises."""
        return {
            "method": self.method,
            "scheme": self.scheme,
            "verdict": self.verdict,
            "evidence": self.evidence,
            "bytes": self.bytes,
            "reasons": list(self.reasons),
            "here": self.here,
        }


def recommend(
    *,
    hardware: str | None = None,
    bits: float | None = None,
    needs: Sequence[str] | None = (),
    library: str | None = None,
    model: str | None = None,
    memory_gib: float | None = None,
    gpu: str | None = None,
    ram_gib: float | None = None,
    known: Known = NOTHING,
    catalog: Catalog | None = None,
    machine: Machine | None = None,
    measured: Mapping[str, Mapping[str, Support]] | None = None,
) -> list[Recommendation]:
    """Every method with its verdict, best first, the rejected ones included.

    A model without a library is asked about as a pipeline: the scheme must reach its transformer
    through diffusers, or through quantlab where the library does it on a CPU. ``memory_gib`` (GiB,
    2**30 bytes) is held against the predicted peak at the model's default size, and so is the
    memory of ``gpu``, a card of data/gpus that stands for hardware and memory. ``ram_gib`` is the
    host's memory; None: it is not held against anything. ``known`` is what was timed on the device.
    ``measured`` has what was tried on this machine, scheme -> column -> answer; it wins over the
    probes that come with the project, and these over documents.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    catalog = catalog or load_catalog()
    machine = machine or this_machine()
    question = read_question(
        catalog, hardware, bits, needs, library, model, memory_gib, gpu, ram_gib, known
    )
    rows = [
        _row(method, scheme, question, catalog, machine, measured or {})
        for method in catalog.methods.values()
        for scheme in _rows_of(method, question.bits)
    ]
    return sorted(rows, key=_order)


def _rows_of(method: Method, bits: float | None) -> Iterator[Scheme | None]:
    """A method's schemes; None for one without any, or for a width that only its library has."""
    yield from method.schemes
    offered = bits is not None and any(bits in span for span in method.bits)
    if not method.schemes or (offered and all(s.bits != bits for s in method.schemes)):
        yield None


def _row(
    method: Method,
    scheme: Scheme | None,
    question: Question,
    catalog: Catalog,
    machine: Machine,
    measured: Mapping[str, Mapping[str, Support]],
) -> Recommendation:
    plan = size = None
    if question.model is not None and scheme is not None:
        component = target(question.model, question.library)
        plan = Plan(((component.name, scheme.id),)) if component else None
        size = sizes(catalog, question.model.id, plan) if plan else None
    tried: dict[str, Finding] = {}
    if scheme is not None:
        tried = findings_for(scheme, question.library, question.hardware)
        tried |= this_machines(measured.get(scheme.id, {}))
    claims = judge(method, scheme, question, plan, catalog, tried)
    verdict = worst(claims)
    return Recommendation(
        method=method.id,
        scheme=scheme.id if scheme is not None else None,
        verdict=verdict,
        evidence=_evidence(claims, verdict),
        bytes=size.weights_bytes if size is not None else None,
        reasons=tuple(claim.reason for claim in claims),
        here=here(scheme, method, machine, question.model),
        placement=next((claim.placement for claim in claims if claim.placement), None),
        bare=next((claim.bare for claim in claims if claim.bare), None),
        loss=scheme_loss(scheme.id, encoder=question.library == "transformers") if scheme else None,
        against=_against(claims, verdict),
        warned=tuple(claim.reason for claim in claims if claim.warns),
    )


def _against(claims: Sequence[Claim], verdict: Verdict) -> tuple[str, ...]:
    decide = not verdict.startswith("runs")
    return tuple(c.reason for c in claims if c.warns or (decide and c.verdict == verdict))


def _evidence(claims: Sequence[Claim], verdict: Verdict) -> Evidence:
    """How the claims that decide are known: the weakest of them."""
    decisive = [claim.evidence for claim in claims if claim.verdict == verdict]
    return max(decisive, key=_EVIDENCE.index, default="documented")


def _order(row: Recommendation) -> tuple[int, float, int, float, str, str]:
    return (
        VERDICTS.index(row.verdict),
        math.inf if row.loss is None else row.loss,
        _EVIDENCE.index(row.evidence),
        math.inf if row.bytes is None else row.bytes,
        row.method,
        row.scheme or "",
    )


def read_question(
    catalog: Catalog,
    hardware: str | None,
    bits: float | None,
    needs: Sequence[str] | None,
    library: str | None,
    model: str | None,
    memory_gib: float | None,
    gpu: str | None,
    ram_gib: float | None = None,
    known: Known = NOTHING,
) -> Question:
    """The arguments of ``recommend`` as a question.

    Raises:
        InputError: names the argument that is wrong and what is allowed.
    """
    _one_of("hardware", hardware, HARDWARE)
    for need in needs or ():
        _one_of("need", need, NEEDS)
    _one_of("library", library, LIBRARIES)
    _one_of("model", model, tuple(catalog.models))
    above_zero("bits", bits, 32)
    above_zero("memory-gib", memory_gib, _MAX_MEMORY_GIB)
    above_zero("ram-gib", ram_gib, _MAX_MEMORY_GIB)
    for part, value in (("memory-gib", memory_gib), ("gpu", gpu), ("ram-gib", ram_gib)):
        if value is not None and model is None:
            raise InputError(part, "needs a model to hold it against; name one with model")
    card = None
    if gpu is not None:
        card = choose_one(gpu)
        if memory_gib is not None:
            raise InputError("memory-gib", f"is what gpu says already, {card.name}; leave one out")
        if hardware not in (None, card.kind):
            raise InputError("hardware", f"{card.name} is {card.kind}, not {hardware}")
        hardware = card.kind
    whole = catalog.models[model] if model is not None else None
    asked = tuple(dict.fromkeys(needs or ()))
    return Question(hardware, bits, asked, library, whole, memory_gib, card, ram_gib, known=known)


def _one_of(part: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        near = get_close_matches(value[:42], allowed, n=_MAX_LISTED, cutoff=0)
        listed = ", ".join(allowed if len(allowed) <= _MAX_LISTED else near)
        more = f" and {len(allowed) - len(near)} more" if len(allowed) > _MAX_LISTED else ""
        raise InputError(part, f"unknown {part} {value!r:.42}; allowed: {listed}{more}")


def _common(one: str, other: str) -> int:
    """How many characters two ids begin with alike."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return len(list(same))


def nearest(
    scheme_id: str,
    machine: Machine | None = None,
    catalog: Catalog | None = None,
    *,
    fits: Callable[[Scheme], bool] = lambda _: True,
) -> str | None:
    """The scheme nearest to ``scheme_id`` that runs on this machine: itself where it does, else
    one of its method, else the nearest in bits. None where nothing runs. ``fits`` says which may
    be taken at all.

    Raises:
        InputError: an unknown scheme.
    """
    catalog = catalog or load_catalog()
    machine = machine or this_machine()
    asked = catalog.schemes.get(scheme_id)
    if asked is None:
        raise InputError("scheme", f"unknown scheme {scheme_id!r:.42}")

    def distance(other: Scheme) -> tuple[bool, bool, float, int, str]:
        alike = _common(asked.id, other.id) + _common(asked.id[::-1], other.id[::-1])
        apart = abs(other.bits - asked.bits)
        return (other.id != asked.id, other.method != asked.method, apart, -alike, other.id)

    usable = [
        scheme
        for scheme in catalog.schemes.values()
        if (scheme is asked or not scheme.layers)
        and here(scheme, catalog.methods[scheme.method], machine) == "ok"
        and fits(scheme)
    ]
    return min(usable, key=distance).id if usable else None
