"""What fits this machine, by prediction: where a plan is placed, and what to try where none fits.

Everything here is predicted by the catalogue from what the device tells of its memory now.
"""

from __future__ import annotations

from collections.abc import Iterator

from quantlab.catalog.eager import load_slow_schemes
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.needs import needs_of
from quantlab.catalog.placement import Placement, choose_placement, why_not_fit
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog
from quantlab.errors import DoesNotFit
from quantlab.lab.libraries import torch
from quantlab.lab.load import device
from quantlab.lab.measure import counters
from quantlab.lab.plan import Comparison, Plan, why_not

__all__ = ["hardware", "instead", "place_on_device"]

GIB = 2**30


def hardware() -> str:
    """The catalogue's word for the device here: cuda, rocm, metal, intel or cpu."""
    name = device()
    if name == "cuda":
        return "rocm" if torch().version.hip else "cuda"
    return {"mps": "metal", "xpu": "intel"}.get(name, "cpu")


def place_on_device(comparison: Comparison, plan: Plan, catalog: Catalog) -> Placement:
    """The best placement of ``plan`` on this machine's accelerator.

    Raises:
        DoesNotFit: none fits; the message has the numbers of each, and what would fit.
    """
    found = _placement(comparison, plan, catalog)
    if found is not None:
        return found
    said = why_not_fit(
        plan,
        catalog.models[comparison.model],
        counters().usable_bytes(),
        width=comparison.width,
        height=comparison.height,
        sequence_length=comparison.sequence_length,
        catalog=catalog,
        kind=hardware(),
    )
    raise DoesNotFit(f"{said}. {instead(comparison, plan, catalog)}")


def instead(comparison: Comparison, plan: Plan, catalog: Catalog) -> str:
    """A sentence that names the largest plan below ``plan`` that is predicted to fit here.

    Schemes that do not run on this machine, and those that are hopelessly slow on a GPU unless
    compiled, are left out.
    """
    model = catalog.models[comparison.model]
    limit = needs_of(plan, model, catalog=catalog).weights_bytes
    best: tuple[int, Plan, Placement] | None = None
    for smaller in _candidates(plan, model, catalog):
        weights = needs_of(smaller, model, catalog=catalog).weights_bytes
        if weights >= limit or (best is not None and weights <= best[0]):
            continue
        found = _placement(comparison, smaller, catalog)
        if found is not None:
            best = (weights, smaller, found)
    if best is None:
        return "No smaller plan of this model is predicted to fit here; try a smaller size."
    _, smaller, found = best
    where = "" if found.kind == "resident" else f" with {found.kind.replace('-', ' ')}"
    return f"Predicted to fit here{where}: {smaller}, {found.peak_bytes / GIB:.1f} GiB at its peak."


def _placement(comparison: Comparison, plan: Plan, catalog: Catalog) -> Placement | None:
    return choose_placement(
        plan,
        catalog.models[comparison.model],
        counters().usable_bytes(),
        width=comparison.width,
        height=comparison.height,
        sequence_length=comparison.sequence_length,
        catalog=catalog,
        kind=hardware(),
    )


def _candidates(plan: Plan, model: Model, catalog: Catalog) -> Iterator[Plan]:
    """Plans like ``plan`` with another scheme on the transformer, or on it and the last encoder."""
    machine, slow = this_machine(), load_slow_schemes()
    parts = {} if plan.dtype else dict(plan.parts)
    encoder = next((c for c in reversed(model.components) if c.library == "transformers"), None)
    for scheme in catalog.schemes.values():
        runs = here(scheme, catalog.methods[scheme.method], machine, model) == "ok"
        if not runs or scheme.storage is None or (scheme.id in slow and not plan.compiled):
            continue
        for component in (None, encoder):
            named = [model.components[0]] + ([component] if component else [])
            if all(why_not(scheme, c.library, c.cls) is None for c in named):
                chosen = parts | {c.name: scheme.id for c in named}
                order = [c.name for c in model.components]
                ordered = sorted(chosen.items(), key=lambda part: order.index(part[0]))
                yield Plan(tuple(ordered), compiled=plan.compiled)
