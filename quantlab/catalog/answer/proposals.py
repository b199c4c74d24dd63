"""Plans for a device: for each way of placing them, the one that loses least and fits.

The rule, whole; there are no weights:

1. Candidates are the model's own dtype and every scheme that the catalogue says runs on the
   hardware, whose packages are installed here, and that reaches the component: the transformer
   through diffusers, the last text encoder through transformers, from the model's own files. The
   two are chosen apart. A scheme that is several times slower than bf16 unless compiled
   (``Scheme.eager``) is left out.
2. More bits lose less. The part with fewer bits counts first, then the transformer, then the text
   encoder. Of equal bits, the scheme that changes flux-mini's transformer less in one step comes
   first (data/results/loss-flux-mini.csv, measured), those not measured there after it, the
   larger one first.
3. Fewer than 4 bits are proposed only where nothing else fits, or where they are asked for.
4. For each placement, from all on the device to group offload, the first plan in that order that
   fits; one that gains nothing over the placement before is left out.

Bits are not loss itself, only its order; what a plan does to an image is measured by trying it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from quantlab.catalog.answer.pick import Recommendation, read_question, recommend
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.machine import Machine, missing_packages, this_machine
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.placement import KINDS, Device, Placement, placements_for
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Component, Model
from quantlab.catalog.sizes.download import download_bytes
from quantlab.catalog.sizes.rows import sizes, target
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import component_bytes
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import InputError
from quantlab.words.plan import Plan

__all__ = ["FEWEST_BITS", "Proposal", "measured_loss", "propose"]

FEWEST_BITS = 4.0
"""Prompts are followed less with a text encoder of 3 bits
(https://github.com/silasfelinus/kind_robots/issues/1870), and images change visibly."""


@dataclass(frozen=True)
class Proposal:
    """One plan and where it is kept. ``transformer`` and ``encoder`` are scheme ids, None where the
    component keeps the model's dtype; bits likewise. Bytes are predicted."""

    transformer: str | None
    encoder: str | None
    bits: tuple[float, float]
    placement: Placement
    weights_bytes: int
    download_bytes: int
    device_bytes: int
    licences: tuple[str, ...] = ()
    """The schemes of libraries whose licence has to be told, each with it."""


@dataclass(frozen=True)
class _Candidate:
    """A scheme for one component, or None for its own dtype."""

    scheme: str | None
    bits: float
    loss: float
    bytes: int


_Pair = tuple[_Candidate, _Candidate]


def propose(
    *,
    model: str,
    hardware: str | None = None,
    bits: float | None = None,
    needs: Sequence[str] = (),
    memory_gib: float | None = None,
    gpu: str | None = None,
    ram_gib: float | None = None,
    catalog: Catalog | None = None,
    machine: Machine | None = None,
) -> tuple[Proposal, ...]:
    """Plans of ``model`` for a device, at most one a placement, the best placement first.

    The device is ``gpu``, an id of data/gpus, or ``memory_gib`` on ``hardware``. ``bits`` and
    ``needs`` are asked of the transformer's scheme. Empty where nothing fits.

    Raises:
        InputError: an argument is wrong, or no device is named.
    """
    catalog = catalog or load_catalog()
    question = read_question(catalog, hardware, bits, needs, None, model, memory_gib, gpu, ram_gib)
    device, known = question.device, question.model
    if device is None or known is None:
        raise InputError("memory-gib", "needs a number of GiB, or gpu a card")
    absent = _absent(catalog, machine or this_machine())
    pairs = _pairs(catalog, known.id, question.hardware, bits, question.needs, absent)
    floor = min(FEWEST_BITS, bits or FEWEST_BITS)
    enough = [pair for pair in pairs if min(pair[0].bits, pair[1].bits) >= floor]
    found = _first_that_fit(enough, known, device, catalog, question.ram_bytes)
    return found or _first_that_fit(pairs, known, device, catalog, question.ram_bytes)


def _absent(catalog: Catalog, machine: Machine) -> frozenset[str]:
    """The methods that lack a package here."""
    return frozenset(m.id for m in catalog.methods.values() if missing_packages(m, machine))


def _first_that_fit(
    pairs: Sequence[_Pair],
    model: Model,
    device: Gpu | Device,
    catalog: Catalog,
    ram_bytes: int | None,
) -> tuple[Proposal, ...]:
    """The first pair that fits, then the first in each placement that is better than the last."""
    found: dict[str, Proposal] = {}
    better: tuple[str, ...] = KINDS
    for first, second in pairs:
        plan = _plan(first, second, model)
        needs = sizes(catalog, model.id, plan)
        places = placements_for(needs, plan, device, catalog, ram_bytes) if needs else ()
        if needs is None or not places or places[0].kind not in better:
            continue
        found[places[0].kind] = Proposal(
            transformer=first.scheme,
            encoder=second.scheme,
            bits=(first.bits, second.bits),
            placement=places[0],
            weights_bytes=needs.weights_bytes,
            download_bytes=download_bytes(model, dict(plan.parts), catalog),
            device_bytes=device.bytes,
            licences=_licences(plan, catalog),
        )
        better = better[: better.index(places[0].kind)]
        if not better:
            break
    return tuple(found[kind] for kind in KINDS if kind in found)


def _licences(plan: Plan, catalog: Catalog) -> tuple[str, ...]:
    schemes = dict.fromkeys(scheme for _, scheme in plan.parts)
    methods = ((name, catalog.methods[catalog.schemes[name].method]) for name in schemes)
    return tuple(f"{name}: {method.licence}" for name, method in methods if method.copyleft)


def _plan(first: _Candidate, second: _Candidate, model: Model) -> Plan:
    """The plan that quantizes the transformer as ``first`` and the last text encoder
    as ``second``."""
    encoder = target(model, "transformers")
    chosen = [(model.denoiser, first.scheme), (encoder.name if encoder else "", second.scheme)]
    return Plan(tuple((name, scheme) for name, scheme in chosen if scheme is not None))


@lru_cache(maxsize=256)
def _pairs(
    catalog: Catalog,
    model_id: str,
    hardware: str | None,
    bits: float | None,
    needs: tuple[str, ...],
    absent: frozenset[str],
) -> tuple[_Pair, ...]:
    """Every pair of candidates, the smallest loss first; the same for a device of any size."""
    model = catalog.models[model_id]
    encoder = target(model, "transformers")
    rows = recommend(hardware=hardware, model=model_id, bits=bits, needs=needs, catalog=catalog)
    transformers = list(_candidates(rows, model, model.components[0], catalog, absent))
    if bits is None:
        transformers.append(_plain(model, model.components[0]))
    encoders = [_plain(model, encoder)]
    if encoder is not None:
        rows = recommend(hardware=hardware, model=model_id, library="transformers", catalog=catalog)
        encoders += _candidates(rows, model, encoder, catalog, absent)
    return tuple(sorted(product(transformers, encoders), key=_order))


def _order(pair: _Pair) -> tuple[float, ...]:
    first, second = pair
    fewest = -min(first.bits, second.bits)
    return (fewest, -first.bits, -second.bits, first.loss, second.loss, -first.bytes, -second.bytes)


def _plain(model: Model, component: Component | None) -> _Candidate:
    """A component as the model has it; where there is none, nothing that could be lost."""
    count = component_bytes(model, component.name) if component else 0
    return _Candidate(None, 8.0 * WIDTHS[model.base_dtype], 0.0, count)


def _candidates(
    rows: Iterable[Recommendation],
    model: Model,
    component: Component,
    catalog: Catalog,
    absent: frozenset[str],
) -> Iterator[_Candidate]:
    loss = measured_loss()
    for row in rows:
        scheme = catalog.schemes.get(row.scheme or "")
        if row.verdict != "runs" or scheme is None or scheme.storage is None:
            continue
        if row.method in absent:
            continue
        if scheme.eager or why_not(scheme, component.library, component.cls):
            continue
        count = component_bytes(model, component.name, scheme.id, catalog=catalog)
        yield _Candidate(scheme.id, scheme.bits, loss.get(scheme.id, math.inf), count)


@lru_cache(maxsize=1)
def measured_loss() -> Mapping[str, float]:
    """Scheme -> relative L2 of the output of flux-mini's transformer after one identical step."""
    path = PROJECT / "data" / "results" / "loss-flux-mini.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        return {row["scheme"]: float(row["transformer_rel_l2"]) for row in csv.DictReader(lines)}
