"""Peaks that others published of a model, each beside what is predicted for the same call.

They are documented, never measured here, and never change a prediction. A figure is held against
what it counts: what the driver counts for a process is more than torch's allocations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.models.published import Published
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.table import Catalog
from quantlab.words.units import GIB

__all__ = ["predicted_peak", "published_peaks"]

KEPT = (36.17 - 33.85) / (33.85 - 31.44)
"""Freed blocks that torch keeps, over what decoding an image takes: GiB reserved, allocated and
loaded of bf16 FLUX.1-dev at 1024 x 1024 on an H100 (README of
https://github.com/sayakpaul/diffusers-torchao). Model offload gives them back before each component
(accelerate, hooks.py, CpuOffload)."""

OUTSIDE_TORCH = 718_077_952
"""Bytes of a process beside torch's own: measured on an H200 (data/results/gpu-h200.jsonl)."""


def predicted_peak(known: Published, model: Model, catalog: Catalog) -> int:
    """Bytes that are predicted for the call whose peak is ``known``, counted as that peak was.

    Raises:
        PlanError: a scheme whose way of storing is not known.
    """
    plan = parse_plan(known.plan, model, catalog)
    picture = picture_of(model, width=known.width, height=known.height)
    needs = needs_of(plan, model, picture, catalog=catalog)
    if known.reading != "process":
        return _allocated(needs, known.placement)
    decoding = round(needs.running[needs.decoder] * (1 + KEPT))
    if known.placement in ("resident", "model-offload"):
        needs = replace(needs, running={**needs.running, needs.decoder: decoding})
    return _allocated(needs, known.placement) + OUTSIDE_TORCH


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
        ours = f"predicted for it: {predicted / GIB:.1f} GiB {how}, {apart:+.0%}"
        note = f"; {known.note}" if known.note else ""
        why = f". A likely explanation, not a fact: {known.explained}" if known.explained else ""
        yield f"{said} ({known.url}, {known.checked}); {ours}{note}{why}"
