"""Which plan to take on a device: at most three, from memory, time and loss together.

The rules, whole; there are no weights:

1. Candidates are those of candidates.py: schemes that the catalogue says run there, with packages
   that are here and a loss that was measured, for the denoiser and the text encoder apart; eager,
   and compiled where it was seen or is said to compile and the card is NVIDIA's. What is several
   times slower than 16-bit weights in a mode is none in that mode. ``bits`` and ``needs`` are asked
   of the denoiser's scheme. Plans are whole, unless nothing close, or as near as ``bits`` and
   ``needs`` let it be, fits so but under group offload; then plans that let go of what idles are
   candidates too, in the placements that they alone fit, and where that is not enough, plans
   without what only writes the prompt anew; both say so.
2. Each is placed in every way that fits the device (catalog/placement.py) and the host's memory,
   where that is known. What needs more host memory than there is, is not proposed. What does not
   fit so where the autoencoder decodes all at once is placed with VAE tiling and slicing, as far as
   they change anything, and says that it fits only so.
3. Memory is the peak on the device, time the middle of the predicted seconds of one image
   (catalog/time), loss that of answer/loss.py. No time counts as slower than any; among those
   without, what travels less is faster, and what needs no compiler.
4. Only what no other plan beats stays: none that is at least as small, as fast and as near, and
   better in one of the three.
5. The fastest is the fastest of those whose loss is at most "close" in data/bands.toml; where
   nothing that fits is, of those in the nearest band that fits. It is never the unquantized model
   under group offload where a quantized plan fits: rule 4 is then held without that. Where the
   best picture takes no more than a tenth longer, it is that one.
6. The best picture has the least loss; of equals the fastest.
7. The smallest has the least peak of those that are not both slower and worse than the two before,
   in no band beyond "visible", or the nearest that fits, and not under group offload where anything
   else is left; if one of the two takes no more than a tenth more, or less, it is that one.
8. What others found fast on such a card (``merits`` of data/methods) and is none of these is told
   with the first, with the first's text encoder, where it fits.
9. One plan that is several of these is one choice. The fastest stands first. Where the seconds of
   none of them are known, what the first gives up names a plan whose seconds are.

Where nothing fits there is no choice, and ``nearest`` tells what would and what it lacks. Where
nothing that fits is nearer than "far", whatever ``bits``, ``instead`` names a smaller model.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from quantlab.catalog.answer.candidates import Alike, absent, candidates
from quantlab.catalog.answer.front import Placed, fronts_of, is_at_hand, named, timed_instead
from quantlab.catalog.answer.instead import instead
from quantlab.catalog.answer.judge import Question
from quantlab.catalog.answer.loss import band_of, loss_of
from quantlab.catalog.answer.merits import praised
from quantlab.catalog.answer.pick import read_question
from quantlab.catalog.answer.seconds import Timer, writing_seconds
from quantlab.catalog.answer.told import choice_of
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.machine import Machine, own_memory_gib, this_machine
from quantlab.catalog.placement import (
    HOST_KEPT,
    Device,
    Kind,
    Placement,
    decoding_bars,
    placements_for,
)
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.decoding import lighter
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.sizes.picture import Picture, check_asked, picture_of
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.catalog.time import NOTHING, Known, Reason, Seconds
from quantlab.errors import InputError
from quantlab.words.choice import Choice, Label
from quantlab.words.plan import LEFT_OUT, Plan
from quantlab.words.settings import setting
from quantlab.words.units import gib

__all__ = ["Answer", "propose"]


@dataclass(frozen=True)
class Answer:
    """The choices, and where there is none, what comes nearest and what it lacks, for people.
    ``instead`` says that none of them is near, and which smaller model would be; it is also the
    first reason of the first choice."""

    choices: tuple[Choice, ...]
    nearest: str = ""
    instead: str = ""


@dataclass(frozen=True)
class _Asked:
    """What plans are held against."""

    model: Model
    device: Gpu | Device
    ram_bytes: int | None
    picture: Picture
    catalog: Catalog
    timer: Timer
    lighter: _Asked | None = None
    """The same decoded in ways that take less memory, where there are any."""


def propose(
    *,
    model: str,
    gpu: str | None = None,
    hardware: str | None = None,
    memory_gib: float | None = None,
    ram_gib: float | None = None,
    bits: float | None = None,
    needs: Sequence[str] | None = (),
    width: int | None = None,
    height: int | None = None,
    batch: int | None = None,
    references: int | None = None,
    steps: int | None = None,
    catalog: Catalog | None = None,
    machine: Machine | None = None,
    known: Known = NOTHING,
) -> Answer:
    """Plans of ``model`` for ``gpu``, a card, or for ``memory_gib`` on ``hardware``; of a CPU this
    machine's memory, where none is named.

    ``ram_gib`` is the host's memory, not checked where it is None. Sizes in pixels, ``batch``
    pictures at once, ``references`` to go by; None is the model's default. ``known`` is what was
    measured on the very device.

    Raises:
        InputError: an argument is wrong, or no device is named.
    """
    catalog, machine = catalog or load_catalog(), machine or this_machine()
    memory_gib = own_memory_gib(hardware, memory_gib, machine)
    question = read_question(
        catalog, hardware, bits, needs, None, model, memory_gib, gpu, ram_gib, known
    )
    device, whole, missing = question.device, question.model, absent(catalog, machine)
    if device is None or whole is None:
        raise InputError("gpu", "name a card, or hardware and memory-gib")
    check_asked(whole, width=width, height=height, steps=steps)
    picture = picture_of(whole, width=width, height=height, batch=batch, references=references)

    def asked_of(other: Model, drawn: Picture) -> _Asked:
        ram, light = question.ram_bytes, lighter(other, drawn)
        timer = Timer(other, device, drawn, catalog, ram_bytes=ram, steps=steps, known=known)
        less = asked_of(other, light) if light != drawn else None
        return _Asked(other, device, ram, drawn, catalog, timer, less)

    def ask(other: Model) -> Sequence[Choice]:
        drawn = picture_of(other, batch=batch)
        return _chosen(replace(question, model=other), asked_of(other, drawn), missing)[1]

    asked = asked_of(whole, picture)
    plans, choices = _chosen(question, asked, missing)
    nearest = "" if choices else _nearest_miss(plans, asked)
    if bits is not None or not (told := instead(whole, choices, device.bytes, catalog, ask)):
        return Answer(choices, nearest)
    first = [replace(one, reasons=(told, *one.reasons)) for one in choices[:1]]
    return Answer((*first, *choices[1:]), nearest, told)


def _chosen(
    question: Question, asked: _Asked, missing: frozenset[str]
) -> tuple[Sequence[Alike], tuple[Choice, ...]]:
    """The plans that were weighed, and the choices among them."""
    plans, placed = _weighed(question, asked, missing)
    front, usual = fronts_of(placed)
    chosen = named(front, usual)
    timed = timed_instead(front, [one for _, one in chosen])
    beside = _beside(chosen, question, asked, missing)
    return plans, tuple(
        choice_of(
            one,
            labels,
            [o for _, o in chosen if o is not one],
            question,
            asked.ram_bytes,
            timed if at == 0 else None,
            as_typed=_as_typed(one, asked),
            writing_s=writing_seconds(asked.model, asked.device, _needs(one.plan, asked)),
            beside=beside if at == 0 else (),
        )
        for at, (labels, one) in enumerate(chosen)
    )


def _weighed(
    question: Question, asked: _Asked, missing: frozenset[str]
) -> tuple[Sequence[Alike], list[Placed]]:
    """Plans and what of them fits; where none is at hand, also without what idles, and then without
    what writes prompts anew."""
    catalog, model = asked.catalog, asked.model
    plans = candidates(catalog, model, question, missing)
    placed = [one for alike in plans for one in _placed_alike(alike, asked)]
    if not _has_room(plans, placed, model):
        placed = [*placed, *_trimmed(plans, placed, asked)]
    if model.prompt_writers and not _has_room(plans, placed, model):
        lighter = candidates(catalog, model, question, missing, without=True)
        fitting = [one for alike in lighter for one in _placed_alike(alike, asked)]
        placed = [*placed, *fitting, *_trimmed(lighter, fitting, asked)]
        plans = (*plans, *lighter)
    return plans, placed


def _trimmed(plans: Iterable[Alike], placed: Iterable[Placed], asked: _Asked) -> Iterator[Placed]:
    """The same plans without what idles, in the placements that they do not fit whole."""
    alone = not asked.picture.references or asked.model.family.needs_reference
    if not alone or not any(component.idle for component in asked.model.components):
        return
    there = defaultdict[object, set[Kind]](set)
    for one in placed:
        there[one.plan.parts].add(one.placement.kind)
    for alike in plans:
        less = tuple(replace(plan, trimmed=True) for plan in alike)
        yield from _placed_alike(less, asked, but=there[alike[0].parts])


def _has_room(plans: Iterable[Alike], placed: Iterable[Placed], model: Model) -> bool:
    """Whether something fits that is close, or as near as any of ``plans``, group offload apart."""
    losses = [loss for alike in plans if (loss := loss_of(alike[0], model)) is not None]
    nearest = min(losses, key=lambda loss: loss.value, default=None)
    level = band_of(nearest).level if nearest else 0
    return any(is_at_hand(one, level) for one in placed)


def _beside(
    chosen: Sequence[tuple[tuple[Label, ...], Placed]],
    question: Question,
    asked: _Asked,
    missing: frozenset[str],
) -> list[Placed]:
    """What others found fast there and is not among ``chosen``, each where it travels least."""
    plans = praised(asked.catalog, chosen, question, missing)
    fits = [list(_placed_alike((plan,), asked)) for plan in plans]
    return [min(each, key=lambda one: one.speed) for each in fits if each]


def _placed_alike(plans: Alike, asked: _Asked, but: Collection[Kind] = ()) -> Iterator[Placed]:
    """Of ``plans`` the fastest in every placement that fits, ``but`` some, decoded lighter only
    where it does not fit otherwise; the others are one with it in memory and loss: it beats them.
    """
    needs = _needs(plans[0], asked)
    fitting = placements_for(needs, plans[0], asked.device, asked.catalog, asked.ram_bytes)
    found = {one.kind: one for one in fitting if one.kind not in but}
    loss = loss_of(plans[0], asked.model) if found else None
    if loss is not None:
        told = partial(asked.timer.seconds, needs=needs)
        for kind, (seconds, plan) in asked.timer.fastest(plans, tuple(found), needs).items():
            yield Placed(plan, found[kind], loss, seconds, asked.picture.decoded, told)
    there = {*but, *found}
    if asked.lighter and "resident" not in there and decoding_bars(needs, there, asked.device):
        yield from _placed_alike(plans, asked.lighter, but=there)


def _needs(plan: Plan, asked: _Asked) -> Needs:
    return needs_of(plan, asked.model, asked.picture, catalog=asked.catalog)


def _as_typed(one: Placed, asked: _Asked) -> Seconds | None:
    """The time of a plan without what writes the prompt anew, where that is why it has none."""
    if one.time is not Reason.WRITES_PROMPT:
        return None
    parts = (*one.plan.parts, *((name, LEFT_OUT) for name in asked.model.prompt_writers))
    plan = replace(one.plan, parts=tuple(dict(parts).items()), dtype=None)
    time = asked.timer.seconds(plan, one.placement.kind)
    return time if isinstance(time, Seconds) else None


def _nearest_miss(plans: Iterable[Alike], asked: _Asked) -> str:
    """The plan that lacks least of device and host together, and what it lacks."""
    device, asked, best = asked.device, asked.lighter or asked, (math.inf, "")
    endless = Device(2**60, device.kind, device.capability, unified=device.unified)
    for plan in (alike[0] for alike in plans if not alike[0].compiled):
        for placement in placements_for(_needs(plan, asked), plan, endless, asked.catalog):
            lacking = max(0, placement.peak_bytes - device.bytes)
            ram = asked.ram_bytes
            host = 0 if ram is None else max(0, placement.host_bytes + HOST_KEPT - ram)
            if lacking + host < best[0]:
                best = (lacking + host, _lacks(plan, placement, host, asked))
    return best[1] or "no plan of this model runs on this hardware"


def _lacks(plan: Plan, placement: Placement, host: int, asked: _Asked) -> str:
    ways = [placement.kind.replace("-", " "), *(setting(n).label for n in asked.picture.decoded)]
    peak, own = gib(placement.peak_bytes), gib(asked.device.bytes)
    said = [f"nothing fits; the nearest is {plan}, {', '.join(ways)}"]
    said.append(f"its peak is {peak}, and the device has {own} with a part to be free")
    if host:
        needed = gib(placement.host_bytes)
        said.append(f"it needs {needed} of host memory, not {gib(asked.ram_bytes or 0)}")
    return "; ".join(said)
