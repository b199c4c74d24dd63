"""Peaks that others published of a model, each beside what is predicted for the same call.

They are documented, never measured here, and never change a prediction. A figure is held against
what it counts: what the driver counts for a process is more than torch's allocations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.models.published import Published
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.sizes.weights import tensor_sizes
from quantlab.catalog.table import Catalog
from quantlab.words.plan import Plan
from quantlab.words.units import gib

__all__ = ["predicted_peak", "published_peaks"]

MIB = 2**20
LARGE, BLOCK, SEGMENT = 10 * MIB, 2 * MIB, 20 * MIB
"""What torch takes of the driver for a tensor: whole blocks of 2 MiB for 10 MiB and more, a share
of a segment for more than 1 MiB (c10/cuda/CUDACachingAllocator.cpp of torch 2.8.0)."""

KEPT = (36.17 - 33.85) / (33.85 - 31.44)
"""Freed blocks that torch keeps, over what decoding an image takes: GiB reserved, allocated and
loaded of bf16 FLUX.1-dev at 1024 x 1024 on an H100 (README of
https://github.com/sayakpaul/diffusers-torchao), whose weights are whole blocks. Model offload gives
them back before each component (accelerate, hooks.py, CpuOffload)."""

OUTSIDE_TORCH = 718_077_952
"""Bytes of a process beside torch's own: measured on an H200 (data/results/gpu-h200.jsonl)."""


def predicted_peak(known: Published, model: Model, catalog: Catalog) -> int:
    """Bytes that are predicted for the call whose peak is ``known``, counted as that peak was.

    Of a process all is counted that the driver has given: what rounding loses, what torch keeps of
    freed blocks, what is no torch's. Under group offload nothing gives back what the denoiser's
    steps took, and the decoder's tensors are too large for those blocks. That rests on one figure
    (Z-Image without a stream, 3.66 GiB). The same call with a stream took 6.58 GiB and is not
    predicted: weights that a stream brings have blocks of their own, while without one the decoder
    is given the block of the largest leaf, the embedding's .72 GiB, and so keeps fewer of its own.
    Replayed by the allocator's rules (best fit; split and merged; convolutions that copy what goes
    in and out) the calls reserve 3.9 and 6.2 GiB, and 25.1 resident (24.87): all three are told
    apart, but by how much hangs on what cuDNN copies, a tenth of which moves 6.2 to 6.4 or 6.5.

    Raises:
        PlanError: a scheme whose way of storing is not known.
    """
    plan = parse_plan(known.plan, model, catalog)
    picture = picture_of(model, width=known.width, height=known.height)
    needs = needs_of(plan, model, picture, catalog=catalog)
    if known.reading != "process":
        return _allocated(needs, known.placement)
    lost = _lost(plan, model, needs.weights, catalog)
    decoding = needs.parts[needs.decoder].running
    steps = max(needs.parts[name].running for name in needs.denoisers)
    more = steps if known.placement == "group-offload" else round(decoding * KEPT)
    parts = {n: p._replace(weights=p.weights + lost[n]) for n, p in needs.parts.items()}
    parts[needs.decoder] = parts[needs.decoder]._replace(
        running=decoding + more, adds=decoding + more
    )
    needs = replace(needs, parts=parts)
    peak = _allocated(needs, known.placement)
    if known.cast_there:
        whole = Plan(dtype=model.base_dtype)
        sizes = needs_of(whole, model, picture, catalog=catalog).weights
        rounding = _lost(whole, model, sizes, catalog)
        peak = max(peak, sum(sizes.values()) + sum(rounding.values()))
    return peak + OUTSIDE_TORCH


def _lost(
    plan: Plan, model: Model, components: Iterable[str], catalog: Catalog
) -> Mapping[str, int]:
    """Bytes that the weights of each component take of the driver and do not fill."""
    sizes = {
        name: tensor_sizes(model, name, plan.scheme(name), plan.dtype, catalog)
        for name in components
    }
    return {name: sum(n * _unused(size) for n, size in each) for name, each in sizes.items()}


def _unused(size: int) -> int:
    if size >= LARGE:
        return -size % BLOCK
    return SEGMENT // (SEGMENT // size) - size if size > MIB else 0


def _allocated(needs: Needs, placement: str) -> int:
    return {
        "resident": needs.resident_bytes,
        "staged": needs.staged_bytes,
        "model-offload": needs.offload_bytes,
        "group-offload": needs.group_bytes,
    }[placement]


def published_peaks(
    model: Model, catalog: Catalog, plans: Collection[str] | None = None
) -> Iterator[str]:
    """A sentence for each published peak of one of ``plans``, with its source; None: of all.

    Raises:
        PlanError: a scheme whose way of storing is not known.
    """
    for known in model.published:
        if known.peak_bytes is None or (plans is not None and known.plan not in plans):
            continue
        predicted = predicted_peak(known, model, catalog)
        apart = predicted / known.peak_bytes - 1
        where = f"{known.placement.replace('-', ' ')} on {known.gpu}"
        size = f"{known.width} x {known.height} px"
        said = f"published: {known.said} at the peak of {known.plan}, {where}, {size}"
        how = "as the driver counts" if known.reading == "process" else "allocated"
        ours = f"predicted for it: {gib(predicted)} {how}, {apart:+.0%}"
        note = f"; {known.note}" if known.note else ""
        why = f". A likely explanation, not a fact: {known.explained}" if known.explained else ""
        yield f"{said} ({known.url}, {known.checked}); {ours}{note}{why}"
