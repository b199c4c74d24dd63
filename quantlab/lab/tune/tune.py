"""Tuning: which layers of a denoiser to spare, and with which schemes, for a budget of bits.

Draw the tuning prompts unquantized and keep some of their steps; take each scheme's weights from
its library; swap the layers one by one and draw again; solve the allocation; then hold the mix on
prompts and steps that none of this has seen, beside uniform plans of at least as many bits. What is
measured is kept in a ledger, so that whoever is interrupted goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from quantlab.catalog.read.mixes import PREFIX, mix_of
from quantlab.catalog.schema import Scheme
from quantlab.catalog.table import Catalog
from quantlab.errors import Stopped
from quantlab.lab.device import Device
from quantlab.lab.libraries import resolve, versions
from quantlab.lab.load.keys import compute_dtype
from quantlab.lab.load.pool import LoadedPlan, Pool
from quantlab.lab.tune.allocate import Option, allocate, check_budget, mean_bits
from quantlab.lab.tune.effects import Subject, dequantized, effects_of, options_of, output_error
from quantlab.lab.tune.layers import KEPT_BITS, Layer, bits_of, layers_of
from quantlab.lab.tune.ledger import Ledger
from quantlab.lab.tune.question import AT, HELD_AT, Question, kinds_of
from quantlab.lab.tune.rivals import contestants, weighted
from quantlab.lab.tune.steps import Path, second_moments, take_path
from quantlab.lab.tune.validate import Held, hold
from quantlab.words.plan import Plan

__all__ = ["Rival", "Tuned", "tune"]

Tell = Callable[[str, float], None]
"""Told what is being done, and the seconds that are left, by the pace so far."""
PER_SCHEME = 40.0
"""Calls of the denoiser that taking a scheme's weights counts as, for the time left only."""


@dataclass(frozen=True)
class Rival:
    """A plan that was held on the held-out prompts: its scheme, stored bits, and figures."""

    scheme: Scheme
    bits: float
    held: Held


@dataclass(frozen=True)
class Tuned:
    """What came of it. ``options`` are what each layer could have got, ``chosen`` what it got.

    ``predicted`` is the root of the sum of single effects, ``together`` the same figure measured
    with all of them at once, both on pictures of tuning.
    """

    question: Question
    options: Mapping[Layer, Sequence[Option]]
    chosen: Mapping[Layer, Option]
    mix: Rival
    uniform: Rival
    uniform_plain: Rival
    predicted: float
    together: float
    catalog: Catalog
    """With the mix in it."""
    seconds: float


class _Work:
    """What is done of all that there is to do, in calls of the denoiser."""

    def __init__(self, total: float, tell: Tell, stop: threading.Event) -> None:
        self._total, self._tell, self._stop = total, tell, stop
        self._done, self._started = 0.0, time.monotonic()

    def say(self, text: str, calls: float) -> None:
        """About to do ``text``, worth ``calls``."""
        if self._stop.is_set():
            raise Stopped("stopped; what was measured is kept")
        spent = time.monotonic() - self._started
        left = spent / self._done * (self._total - self._done) if self._done else 0.0
        self._tell(text, max(0.0, left))
        self._done += calls

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started


def tune(
    asked: Question, catalog: Catalog, device: Device, tell: Tell, stop: threading.Event
) -> Tuned:
    """The mix for ``asked``, validated; nothing but the ledger is written.

    Raises:
        InputError: no scheme can be mixed here, or none is small enough.
        LoadError, Unavailable: the model or a scheme cannot be loaded.
        Stopped: ``stop`` was set; the ledger has what was measured.
    """
    pool = Pool(0, catalog, device)
    reference = pool.load(asked.model, asked.tuning[0].plans[0], lambda _: None)
    layers = layers_of(reference.denoiser)
    kinds = _in_use(kinds_of(asked, catalog, device), layers)
    able = {layer: each for layer in layers if (each := _bits(layer, kinds))}
    check_budget({layer: min(each.values()) for layer, each in able.items()}, asked.budget_bits)
    steps = asked.tuning[0].steps
    plans = 3 * len(asked.held_out) * (steps + len(HELD_AT))
    drawn = (len(asked.tuning) + len(asked.held_out)) * steps
    total = drawn + len(kinds) * PER_SCHEME + (len(layers) + 2) * asked.judged + plans
    work = _Work(total, tell, stop)
    paths = _paths(reference, asked, work, device, stop)
    dtype = resolve(compute_dtype(asked.tuning[0].plans[0], asked.model))
    subject = Subject(reference, layers, paths, asked.drawn, dtype, device, stop)
    options = _options(subject, asked, kinds, pool, work)
    chosen = allocate(options, asked.budget_bits)
    return _validated(asked, options, chosen, subject, pool, work, stop)


def _paths(
    reference: LoadedPlan, asked: Question, work: _Work, device: Device, stop: threading.Event
) -> list[Path]:
    paths = []
    for index, comparison in enumerate(asked.tuning, 1):
        work.say(f"drawing tuning prompt {index} of {len(asked.tuning)}", comparison.steps)
        paths.append(take_path(reference, comparison, AT, device, stop))
    return paths


def _options(
    subject: Subject, asked: Question, kinds: Sequence[Scheme], pool: Pool, work: _Work
) -> dict[Layer, list[Option]]:
    """What each layer may get and what it costs: errors of all schemes, effects of anchors."""
    ledger = Ledger(asked.out / "measured.json", _key(asked, kinds))
    bits = {layer: _bits(layer, kinds) for layer in subject.layers}
    anchors = {layer: _anchor(each, asked) for layer, each in bits.items() if each}
    work.say("looking at what goes into each layer", len(subject.paths) * len(AT))
    moments = second_moments(subject.denoiser, subject.paths, subject.dtype, subject.device)
    pool = Pool(0, _on_all(asked, kinds, subject.layers, moments, pool.catalog), subject.device)
    tried = {}
    for scheme in kinds:
        wanted = [la for la in anchors if scheme.id in bits[la]]
        needed = [la for la in wanted if anchors[la] == scheme.id and la.name not in ledger.effects]
        work.say(f"taking the weights of {scheme.id}", PER_SCHEME)
        if scheme.id in ledger.errors and not needed:
            continue
        errors = {}
        where = None if subject.device.is_cpu else "model-offload"  # only layers go to the device
        plan = pool.load(asked.model, _plan(asked, f"{ALL}{scheme.id}"), lambda _: None, where)
        for layer in wanted:
            module = plan.denoiser.get_submodule(layer.name)
            target = module.weight.device.type
            found = dequantized(module, layer, subject.dtype, target)
            errors[layer.name] = output_error(subject.weight(layer), found, moments[layer.name])
            if layer in needed:
                tried[layer] = (scheme.id, found)
        ledger.learn_errors(scheme.id, errors)

    def said(layer: Layer) -> None:
        work.say(f"swapping {layer.name}", asked.judged)

    held = [layer for layer in subject.layers if bits[layer]]
    found = {
        layer: options_of(
            bits[layer],
            {scheme: ledger.errors[scheme][layer.name] for scheme in bits[layer]},
            anchor,
            effect,
        )
        for layer, anchor, effect in effects_of(subject, held, tried, ledger, said)
    }
    if asked.method.mixing is None or asked.method.mixing.kept:
        return found
    as_it_is = Option("", KEPT_BITS, 0.0)
    return {layer: [*found.get(layer, ()), as_it_is] for layer in subject.layers}


ALL = f"{PREFIX}all-"
"""How the id of a mix begins that has one scheme on every layer."""


def _on_all(
    asked: Question,
    kinds: Sequence[Scheme],
    layers: Sequence[Layer],
    moments: Mapping[str, Any],
    catalog: Catalog,
) -> Catalog:
    """``catalog`` with each kind on all layers, those too that its library skips by itself; rounded
    by how much each input of them matters, where the library can."""
    path = weighted(asked)
    if path:
        held = {f"{name}.weight": moment.contiguous() for name, moment in moments.items()}
        resolve("safetensors.torch.save_file")(held, path)
    shapes = asked.model.components[0].shapes
    found = {}
    for kind in kinds:
        every = {layer.name: kind.id for layer in layers if kind.id in _bits(layer, kinds)}
        name = f"all-{kind.id}"
        mix = mix_of(name, kind.name, shapes, kind.bits, every, catalog.schemes, path)
        found[mix.id] = mix
    return replace(catalog, schemes=MappingProxyType({**catalog.schemes, **found}))


def _in_use(kinds: Sequence[Scheme], layers: Sequence[Layer]) -> list[Scheme]:
    """Those of ``kinds`` that some layer may get: as ``_bits`` says, one of the same bits is."""
    used = {scheme for layer in layers for scheme in _bits(layer, kinds)}
    return [kind for kind in kinds if kind.id in used]


def _bits(layer: Layer, kinds: Sequence[Scheme]) -> dict[str, float]:
    """Of schemes of the same bits here, as K-quants are where a layer is narrow, the last."""
    counted = {bits_of(layer, scheme): scheme.id for scheme in kinds}
    return {scheme: bits for bits, scheme in counted.items() if bits is not None}


def _anchor(bits: Mapping[str, float], asked: Question) -> str:
    """The scheme that is really tried: the nearest to the budget that is not the kept one."""
    mixing = asked.method.mixing
    usable = [scheme for scheme in bits if mixing is None or scheme != mixing.kept]
    return min(usable or list(bits), key=lambda scheme: abs(bits[scheme] - asked.budget_bits))


def _key(asked: Question, kinds: Sequence[Scheme]) -> dict[str, object]:
    """All that decides what the ledger holds, whatever the budget."""
    return {
        "model": asked.model.id,
        "revision": asked.model.revision,
        "schemes": [scheme.id for scheme in kinds],
        "prompts": [[c.prompt, c.seed] for c in asked.tuning],
        "settings": dict(asked.tuning[0].settings) | {"prompt": "", "seed": 0},
        "at": AT,
        "drawn": asked.drawn,
        "versions": versions(),
    }


def _plan(asked: Question, scheme: str) -> Plan:
    return Plan(((asked.model.denoiser, scheme),))


def _validated(
    asked: Question,
    options: Mapping[Layer, Sequence[Option]],
    chosen: Mapping[Layer, Option],
    subject: Subject,
    pool: Pool,
    work: _Work,
    stop: threading.Event,
) -> Tuned:
    """The mix and two uniform plans on the held-out prompts."""
    mix, (kept, kept_bits), (plain, plain_bits) = contestants(asked, options, chosen, pool.catalog)
    catalog = replace(
        pool.catalog,
        schemes=MappingProxyType(
            {**pool.catalog.schemes, **{each.id: each for each in (mix, kept, plain)}}
        ),
    )
    device = subject.device
    ready = Pool(0, catalog, device)
    reference = ready.load(asked.model, asked.tuning[0].plans[0], lambda _: None)
    paths = []
    for index, comparison in enumerate(asked.held_out, 1):
        work.say(f"drawing held-out prompt {index} of {len(asked.held_out)}", comparison.steps)
        paths.append(take_path(reference, comparison, HELD_AT, device, stop))
    calls = asked.tuning[0].steps + len(HELD_AT)

    def held(scheme: Scheme, bits: float) -> tuple[Rival, LoadedPlan]:
        plan = ready.load(asked.model, _plan(asked, scheme.id), lambda _: None)

        def said() -> None:
            work.say(f"{scheme.id} on held-out prompts", calls)

        return Rival(scheme, bits, hold(plan, paths, subject.dtype, device, stop, said)), plan

    one, other = held(kept, kept_bits)[0], held(plain, plain_bits)[0]
    rival, plan = held(mix, mean_bits(chosen))
    work.say("all layers together on the pictures of tuning", asked.judged)
    return Tuned(
        question=asked,
        options=options,
        chosen=chosen,
        mix=rival,
        uniform=one,
        uniform_plain=other,
        predicted=sum(option.effect for option in chosen.values()) ** 0.5,
        together=subject.together(plan.pipe) ** 0.5,
        catalog=catalog,
        seconds=work.seconds,
    )
