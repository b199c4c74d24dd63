"""One row of pick: what the catalogue's cells and a model's size say about a scheme.

Every part of a question adds one claim; the worst claim is the verdict. Nothing is weighed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from quantlab.catalog.answer.ready import beside, without_writers
from quantlab.catalog.answer.seconds import speeds
from quantlab.catalog.answer.traps import bf16_emulated, traps_of
from quantlab.catalog.columns import SPEED
from quantlab.catalog.columns import column as called
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.machine import has_file
from quantlab.catalog.placement import Device, Placement, best_placement, refusal, verdict_of
from quantlab.catalog.read.measured import Finding
from quantlab.catalog.schema import Cell, Evidence, Method, Model, Scheme, Support, Verdict
from quantlab.catalog.sizes.download import download_bytes
from quantlab.catalog.sizes.rows import sizes
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import NOTHING, Known
from quantlab.words.plan import Plan
from quantlab.words.units import GIB, gib

__all__ = ["VERDICTS", "Claim", "Question", "claims_of", "judge", "worst"]

VERDICTS: tuple[Verdict, ...] = ("runs", "runs-with-offload", "partial", "unknown", "no")
"""Best first."""

_VERDICT_OF: dict[Support, Verdict] = {
    "yes": "runs",
    "partial": "partial",
    "unknown": "unknown",
    "no": "no",
}


@dataclass(frozen=True)
class Question:
    """What is asked; None and empty mean not asked."""

    hardware: str | None
    bits: float | None
    needs: tuple[str, ...]
    library: str | None
    model: Model | None
    memory_gib: float | None
    gpu: Gpu | None = None
    """A card of data/gpus, whose kind is the hardware."""
    ram_gib: float | None = None
    """The host's memory, where it is to be held against what placing takes."""
    card: str = ""
    """The capability or architecture of a card of which no more is asked."""
    known: Known = NOTHING
    """What was measured on the device."""

    @property
    def architecture(self) -> str:
        """The capability, or else the architecture, of the card that is asked about, or ""."""
        return (self.gpu.capability or self.gpu.arch) if self.gpu is not None else self.card

    @cached_property
    def device(self) -> Gpu | Device | None:
        """What the memory is held against; a number of GiB without hardware is a GPU's."""
        if self.gpu is not None or self.memory_gib is None:
            return self.gpu
        return Device(round(self.memory_gib * GIB), self.hardware or "cuda")

    @property
    def ram_bytes(self) -> int | None:
        """The host's memory in bytes, or None."""
        return None if self.ram_gib is None else round(self.ram_gib * GIB)


class Claim(NamedTuple):
    """One part's answer, its reason for people, and how it is known."""

    verdict: Verdict
    reason: str
    evidence: Evidence = "documented"
    placement: Placement | None = None
    """Where it is about memory: the best placement that fits."""
    bare: Placement | None = None
    """The same where what writes the prompt anew is left out."""
    warns: bool = False
    """Whether it should be read though it does not decide."""


def judge(
    method: Method,
    scheme: Scheme | None,
    question: Question,
    plan: Plan | None,
    catalog: Catalog,
    measured: Mapping[str, Finding],
) -> tuple[Claim, ...]:
    """The claims of one row, in the question's order. ``plan`` is the whole pipeline's, None where
    there is no model or no scheme; ``measured`` is by column and leads, with the claim beside."""
    sized = (*_memory(question, plan, catalog), *_beside(question, plan, catalog))
    return (*claims_of(method, scheme, question, measured), *sized, *_licence(method))


def _beside(question: Question, plan: Plan | None, catalog: Catalog) -> list[Claim]:
    if question.model is None or plan is None or question.library == "transformers":
        return []
    told = [t for part in plan.parts for t in beside(question.model, *part, catalog)]
    cpu = question.hardware == "cpu"  # where it was tried
    failed = Claim("no", "", "measured") if cpu else Claim("runs", "", warns=True)
    claims = [Claim("runs", t) if well else failed._replace(reason=t) for well, t in told]
    if question.device is not None:
        asked = question.model, question.device, question.ram_bytes, catalog
        if found := without_writers(plan, *asked):
            claims.append(Claim("runs", found[1], "predicted", bare=found[0]))
    return claims


def claims_of(
    method: Method,
    scheme: Scheme | None,
    question: Question,
    measured: Mapping[str, Finding],
) -> tuple[Claim, ...]:
    """The claims of ``judge`` that a verdict hangs on, but those about memory, which alone ask how
    large a card is."""
    claims = [
        *_hardware(method, scheme, question, measured),
        *_bits(method, scheme, question),
    ]
    claims += _loading(scheme, question.model)
    claims += _eager(scheme, question)
    claims += _traps(method, scheme, question)
    columns = [_asked(need, question) for need in question.needs if need != SPEED.id]
    columns += [question.library or ("diffusers" if question.model else "")]
    claims += [_claim(method, scheme, column, measured) for column in columns if column]
    return (*claims, *_speed(scheme, question)) if SPEED.id in question.needs else tuple(claims)


def _speed(scheme: Scheme | None, question: Question) -> list[Claim]:
    """Whether an image takes less than without it, eager or compiled."""
    model, gpu = question.model, question.gpu
    if scheme is None or model is None or gpu is None:
        return [Claim("unknown", "speed: depends on card and model; name both")]
    found = speeds(scheme, model, gpu, question.known)
    if not found:
        return [Claim("unknown", "speed: no time is known", "predicted")]
    told = [f"{mode} {mine:.3g} s, not {plain:.3g}" for mode, (mine, plain) in found.items()]
    better = any(mine < plain for mine, plain in found.values())
    return [Claim("runs" if better else "no", f"speed: {'; '.join(told)}", "predicted")]


def _asked(need: str, question: Question) -> str:
    """The column that a need is about: PEFT on a model of diffusers is a LoRA there, and what
    transformers does with language models says nothing of it."""
    if need != "peft" or question.library == "transformers":
        return need
    return "lora" if question.library == "diffusers" or question.model is not None else need


def _claim(
    method: Method,
    scheme: Scheme | None,
    column: str,
    measured: Mapping[str, Finding],
    card: str = "",
) -> Claim:
    """``card`` is the capability or the architecture of a card that is asked about.

    Where a claim depends on that, what another card did decides nothing and stands beside it.
    """
    cell = method.cell(column, scheme)
    found = measured.get(column)
    if found and (not cell.capability or found.hardware is None):
        how = f": {found.detail}" if found.detail else ""
        reason = f"{called(column).name}: {found.value} (measured on {found.where}{how})"
        beside = f"; documented: {_said(cell, cell.value)}" if cell.source else ""
        return Claim(_VERDICT_OF[found.value], reason + beside, "measured")
    value = cell.on_card(card)
    mine = f"; this GPU has {card}" if card and cell.capability else ""
    mine += f"; {found.value} on {found.where}" if found else ""
    return Claim(_VERDICT_OF[value], f"{called(column).name}: {_said(cell, value)}{mine}")


def _said(cell: Cell, value: Support) -> str:
    source = f" ({cell.source}, {cell.checked})" if cell.source else ""
    return f"{value}{source}" + (f"; {cell.note}" if cell.note else "")


def _hardware(
    method: Method, scheme: Scheme | None, question: Question, measured: Mapping[str, Finding]
) -> list[Claim]:
    """The plain column, or diffusers' own where diffusers is what will do it.

    Where diffusers refuses a CPU and quantlab lets the library do it, the plain column counts and
    the refusal is told as a reason.
    """
    if question.hardware is None:
        return []
    plain, strict = question.hardware, f"diffusers-{question.hardware}"
    card = question.architecture
    by_library = scheme is not None and scheme.on_cpu == "library" and plain == "cpu"
    through = question.library == "diffusers" or (
        question.library is None and question.model is not None and not by_library
    )
    differs = method.cell(strict, scheme).value != method.cell(plain, scheme).value
    if through:
        return [_claim(method, scheme, strict if differs else plain, measured, card)]
    claims = [_claim(method, scheme, plain, measured, card)]
    if differs and question.library is None:
        way = "; quantlab lets the library do it" if by_library else ""
        told = _claim(method, scheme, strict, measured, card)
        claims.append(Claim("runs", told.reason + way))
    return claims


def _bits(method: Method, scheme: Scheme | None, question: Question) -> list[Claim]:
    if question.bits is None:
        return []
    spans = ", ".join(map(str, method.bits))
    source = method.sources[method.bits_source]
    cite = f"({source.title}, {source.checked})"
    if scheme is None:
        fits = any(question.bits in span for span in method.bits)
        text = f"bits: {spans} {cite}"
        return [Claim("runs" if fits else "no", text if fits else f"{text}, not {question.bits:g}")]
    if scheme.bits == question.bits:
        return [Claim("runs", f"bits: {scheme.bits:g}")]
    return [
        Claim("no", f"bits: {scheme.bits:g}, not {question.bits:g}; the method has {spans} {cite}")
    ]


def _loading(scheme: Scheme | None, model: Model | None) -> list[Claim]:
    """What quantlab cannot load, or what has to exist beforehand and may not."""
    if scheme is None or model is None:
        return []
    first = model.components[0]
    if first.why_as_it_is:
        return [Claim("no", f"loading: the {first.name} {first.why_as_it_is}")]
    if not scheme.loadable:
        return [Claim("unknown", f"loading: {scheme.note}")]
    if not scheme.from_file or has_file(scheme, model):
        return []
    return [Claim("unknown", f"loading: no {scheme.name} file of {model.name} is known")]


def _licence(method: Method) -> list[Claim]:
    """A warning, not a verdict: what is built on such a library may have to carry its licence."""
    if not method.copyleft:
        return []
    source = method.sources[method.licence_source]
    text = f"licence: {method.licence} ({source.title}, {source.checked}); installed apart"
    return [Claim("runs", text, warns=True)]


def _eager(scheme: Scheme | None, question: Question) -> list[Claim]:
    """A warning, not a verdict: it runs on a GPU, but uncompiled nobody would wait for it."""
    if scheme is None or question.hardware in (None, "cpu"):
        return []
    slow = scheme.eager
    return [Claim("runs", f"eager mode: {slow.warning}", warns=True)] if slow else []


def _traps(method: Method, scheme: Scheme | None, question: Question) -> list[Claim]:
    """Warnings, not verdicts: what people run into on this hardware."""
    said = bf16_emulated(question.gpu, question.model)
    if scheme is not None:
        found = traps_of(method, scheme, question.hardware, question.gpu)
        said += [str(trap) for trap in found]
    return [Claim("runs", text, warns=True) for text in said]


def _memory(question: Question, plan: Plan | None, catalog: Catalog) -> list[Claim]:
    """The best placement on the device that was asked about, and what is fetched for it."""
    model, device = question.model, question.device
    if device is None or model is None:
        return []
    needs = sizes(catalog, model.id, plan) if plan is not None else None
    if plan is None or needs is None:
        return [Claim("unknown", "memory: how it stores this model's weights is not known")]
    best = best_placement(needs, plan, device, catalog, question.ram_bytes)
    if best is None:
        why = refusal(needs, plan, device, catalog, question.ram_bytes)
        return [Claim("no", f"memory: {why}", "predicted")]
    text = f"memory: {'; '.join(best.reasons)}"
    claims = [Claim(verdict_of(best.kind), text, "predicted", best)]
    if fetched := download_bytes(model, dict(plan.parts), catalog):
        claims.append(Claim("runs", f"download: {gib(fetched)}", "predicted"))
    return claims


def worst(claims: Sequence[Claim]) -> Verdict:
    """The worst verdict of the claims; with no claim there is nothing against it."""
    return max((c.verdict for c in claims), key=VERDICTS.index, default="runs")
