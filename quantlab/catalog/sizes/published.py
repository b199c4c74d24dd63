"""Peaks that others published of a model, each beside what is predicted for the same call.

They are documented, never measured here, and never change a prediction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.table import Catalog

__all__ = ["published_peaks"]

GIB = 2**30


def published_peaks(model: Model, plans: Collection[str], catalog: Catalog) -> Iterator[str]:
    """A sentence for each published peak of one of ``plans``, with its source.

    Raises:
        PlanError: a scheme whose way of storing is not known.
    """
    for known in model.published:
        if known.peak_bytes is None or known.plan not in plans:
            continue
        plan = parse_plan(known.plan, model, catalog)
        picture = picture_of(model, width=known.width, height=known.height)
        needs = needs_of(plan, model, picture, catalog=catalog)
        resident = known.placement == "resident"
        predicted = needs.resident_bytes if resident else needs.offload_bytes
        apart = predicted / known.peak_bytes - 1
        where = f"{known.placement.replace('-', ' ')} on {known.gpu}"
        size = f"{known.width} x {known.height} px"
        said = f"published: {known.said} at the peak of {known.plan}, {where}, {size}"
        ours = f"predicted for it: {predicted / GIB:.1f} GiB allocated, {apart:+.0%}"
        note = f"; {known.note}" if known.note else ""
        yield f"{said} ({known.url}, {known.checked}); {ours}{note}"
