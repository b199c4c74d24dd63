"""A placed plan as a choice: what it takes, what it rests on, what is given up, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from quantlab.catalog.answer.front import ALIKE, LAST_RESORT, Placed
from quantlab.catalog.answer.judge import Question
from quantlab.catalog.answer.loss import band_of, in_words, published_losses
from quantlab.catalog.answer.merits import merits_of
from quantlab.catalog.answer.ready import beside as ready_beside
from quantlab.catalog.answer.seconds import why_of
from quantlab.catalog.answer.traps import bf16_emulated, traps_of
from quantlab.catalog.placement import one_memory
from quantlab.catalog.schema import Model, Scheme
from quantlab.catalog.sizes.download import download_bytes
from quantlab.catalog.sizes.idle import idle_bytes
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.catalog.time import Reason, Seconds
from quantlab.catalog.time.published import published_times
from quantlab.words.choice import Choice, Label, Span
from quantlab.words.plan import LEFT_OUT
from quantlab.words.units import gib

__all__ = ["choice_of"]

COMPILED = (
    "compiled: the first image takes longer, 10 s on an H100, and every new size again "
    "(https://docs.pytorch.org/devlogs/inductor/2026-05-11-torch-compile-and-diffusers, 2026-11)"
)
DECODED = {
    "vae_tiling": "fits so only with VAE tiling (--vae-tiling): the picture is decoded in "
    "overlapping tiles, where seams may show",
    "vae_slicing": "fits so only with VAE slicing (--vae-slicing): the pictures of a batch are "
    "decoded one after the other",
}
"""By the setting that has a plan fit."""
PLAINER = "the prompt is taken as it is typed, so a short one gives a plainer picture"
AS_TYPED = "where nothing writes the prompt anew"
BASE = ("torch", "diffusers", "transformers", "accelerate")


def choice_of(
    one: Placed,
    labels: tuple[Label, ...],
    others: Sequence[Placed],
    question: Question,
    ram_bytes: int | None,
    timed: Placed | None = None,
    as_typed: Seconds | None = None,
    writing_s: float | None = None,
    beside: Sequence[Placed] = (),
    catalog: Catalog | None = None,
) -> Choice:
    """``one`` as a choice; ``others`` are those that it stands beside, ``timed`` one of known
    seconds that is no choice, ``as_typed`` its own where nothing writes the prompt anew,
    ``writing_s`` of a token of that, ``beside`` what others praise there and is no choice."""
    catalog = catalog or load_catalog()
    model, device = question.model, question.device
    assert model is not None
    assert device is not None
    unified = one_memory(device)
    time = one.time
    return Choice(
        labels=labels,
        plan=str(one.plan),
        hardware=device.kind,
        placement=one.placement.kind,
        peak_bytes=one.placement.peak_bytes,
        device_bytes=device.bytes,
        host_bytes=0 if unified else one.placement.host_bytes,
        download_bytes=download_bytes(model, dict(one.plan.parts), catalog),
        image_s=Span(time.low, time.mid, time.high) if isinstance(time, Seconds) else None,
        image_s_evidence=time.evidence if isinstance(time, Seconds) else None,
        image_s_why=why_of(time, writing_s),
        drawn_s=Span(as_typed.low, as_typed.mid, as_typed.high) if as_typed else None,
        loss=one.loss,
        given_up=_given_up(one, others, timed),
        licences=tuple(_licences(one, catalog)),
        reasons=(
            *_reasons(one, question, model, unified, ram_bytes, catalog),
            *([f"{AS_TYPED} an image takes {as_typed.text()}"] if as_typed else ()),
            *map(str, published_times(model.id, device.kind)),
            *(_praised(other, question, catalog) for other in beside),
        ),
        install=_install(one, catalog),
        settings=one.settings,
    )


def _given_up(one: Placed, others: Sequence[Placed], timed: Placed | None) -> str:
    """What another choice has and this one has not: picture, time or memory."""
    said = []
    if nearer := min((o for o in others if o.loss.value < one.loss.value), key=_loss, default=None):
        said.append(f"picture: {_far(one)}, not {_far(nearer)}")
    if faster := min((o for o in others if _is_faster(o, one)), key=_speed, default=None):
        said.append(f"time: {_slower(one, faster)}")
    if timed is not None:
        way = timed.placement.kind.replace("-", " ")
        said.append(
            f"time: {_taken(one)}; {_taken(timed)} for {_far(timed)} with {timed.plan}, {way}"
        )
    if smaller := min((o for o in others if _is_smaller(o, one)), key=_peak, default=None):
        said.append(f"memory: {gib(_peak(one))} at the peak, not {gib(_peak(smaller))}")
    return f"gives up {'; '.join(said)}" if said else ""


def _is_faster(one: Placed, other: Placed) -> bool:
    """Whether it is by more than is told apart."""
    return one.speed < other.speed and not other.seconds <= (1 + ALIKE) * one.seconds < math.inf


def _is_smaller(one: Placed, other: Placed) -> bool:
    return _peak(one) < (1 - ALIKE) * _peak(other)


def _far(one: Placed) -> str:
    """The word with its number: ``close (1.2%)``."""
    return f"{band_of(one.loss).word} ({one.loss.value:.1%})" if one.loss.value else "unquantized"


def _loss(one: Placed) -> float:
    return one.loss.value


def _speed(one: Placed) -> tuple[float, int, bool]:
    return one.speed


def _peak(one: Placed) -> int:
    return one.placement.peak_bytes


def _slower(one: Placed, faster: Placed) -> str:
    if isinstance(one.time, Seconds) or isinstance(faster.time, Seconds):
        return f"{_taken(one)}, not {_taken(faster)}"
    if one.placement.kind == faster.placement.kind:
        return "more than another choice, though nobody knows the seconds of either"
    ways = (each.placement.kind.replace("-", " ") for each in (one, faster))
    why = "nobody knows the seconds of either"
    if one.time is faster.time is Reason.WRITES_PROMPT:
        why = "nobody knows how long either writes the prompt anew"
    return f"{', not '.join(ways)}; {why}"


def _taken(one: Placed) -> str:
    if isinstance(one.time, Seconds):
        return f"{one.time.mid:.3g} s"
    return f"no seconds known with {one.placement.kind.replace('-', ' ')}"


def _reasons(
    one: Placed,
    question: Question,
    model: Model,
    unified: bool,
    ram_bytes: int | None,
    catalog: Catalog,
) -> list[str]:
    said = [f"loss: {in_words(one.loss)}", f"memory: {'; '.join(one.placement.reasons)}"]
    said += [DECODED[setting] for setting in one.settings]
    if one.placement.kind == LAST_RESORT:
        said.append("group offload: every layer travels to the device at every step")
    if one.placement.kind == "staged" and unified:
        said.append("staged: each part is read from disk when its turn comes, for every image anew")
    elif one.placement.kind == "staged" and isinstance(one.time, Seconds):
        said.append("staged: the seconds are of weights that wait in host memory between images")
    if one.plan.compiled:
        said.append(COMPILED)
    if ram_bytes is None and not unified:
        said.append("host memory is not checked: say how much there is")
    if one.plan.trimmed:
        idle = sum(bytes for bytes, _ in idle_bytes(model).values())
        said.append(
            f"trimmed: {gib(idle)} in {model.base_dtype} that no picture from text depends on are "
            f"let go of once they are read; they are fetched all the same"
        )
    said += bf16_emulated(question.gpu, question.model)
    for name, scheme_id in one.plan.parts:
        if scheme_id == LEFT_OUT:
            said.append(f"without the {model.family.label(name)}: {PLAINER}")
        scheme = catalog.schemes.get(scheme_id)
        if scheme is not None:
            said += _about(scheme, name == model.denoiser, one, question, catalog)
            said += [text for _, text in ready_beside(model, name, scheme_id, catalog)]
    said += _licences(one, catalog)
    said += [
        str(row)
        for row in published_losses()
        if row.model == model.id and row.plan == one.plan.scheme(model.denoiser)
    ]
    if model.gated == "yes":
        said.append(f"licence to accept first: {model.licence.name} ({model.licence.url})")
    return list(dict.fromkeys(said))


def _about(
    scheme: Scheme, denoiser: bool, one: Placed, question: Question, catalog: Catalog
) -> Iterator[str]:
    """What to know of a scheme in this plan: its traps, where it runs at every step, and what has
    to be there."""
    method = catalog.methods[scheme.method]
    if denoiser:
        traps = traps_of(method, scheme, question.hardware, question.gpu)
        yield from (str(trap) for trap in traps if not (trap.eager and one.plan.compiled))
        yield from (str(merit) for merit in merits_of(method, scheme, question))
    if "compiler" in scheme.requires:
        yield f"{scheme.id} builds a kernel on first use and needs a C++ compiler"


def _praised(one: Placed, question: Question, catalog: Catalog) -> str:
    """What else to try there, with all that is known of how fast it is."""
    assert question.model is not None
    scheme = catalog.schemes[one.plan.scheme(question.model.denoiser) or ""]
    way, peak = one.placement.kind.replace("-", " "), gib(_peak(one))
    said = [f"worth a try: {one.plan}, {way}, {peak} at the peak, {_far(one)}, {_taken(one)}"]
    said += map(str, merits_of(catalog.methods[scheme.method], scheme, question))
    return "; ".join([*said, *_licences(one, catalog)])


def _licences(one: Placed, catalog: Catalog) -> Iterator[str]:
    """What is built on some libraries may have to carry their licence: each, with its schemes."""
    named = dict.fromkeys(scheme for _, scheme in one.plan.parts if scheme in catalog.schemes)
    for method in catalog.methods_of(named):
        if method.copyleft:
            source = method.sources[method.licence_source]
            said = f"{method.licence} ({source.title}, {source.checked})"
            of = ", ".join(each for each in named if catalog.schemes[each].method == method.id)
            yield f"licence of {of}: {said}; installed apart"


def _install(one: Placed, catalog: Catalog) -> str:
    """The pip line of what the plan needs."""
    schemes = [catalog.schemes[s] for _, s in one.plan.parts if s in catalog.schemes]
    packages = [p for scheme in schemes for p in catalog.methods[scheme.method].packages]
    return f"pip install {' '.join(dict.fromkeys((*BASE, *packages)))}"
