"""What fits a device, by prediction: where a plan is placed, and what to try where none fits.

``place_on`` is the one rule: for the device here with what it tells of its memory now, for
ZeroGPU's card, which is not here yet, with what data/gpus says of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from quantlab.catalog import placement
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.largest import decoded_lighter, largest_size
from quantlab.catalog.machine import Machine, here
from quantlab.catalog.placement import Placement, how, placements_for, refusal
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.sizes.picture import picture_asked
from quantlab.catalog.table import Catalog
from quantlab.errors import DoesNotFit
from quantlab.lab.device import Device
from quantlab.lab.lora.attach import lora_way
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Failure, Outcome
from quantlab.words.plan import Plan
from quantlab.words.units import gib

__all__ = ["died", "instead", "needs_at_size", "place_on", "place_on_device"]


def needs_at_size(comparison: Comparison, plan: Plan, catalog: Catalog) -> Needs:
    """What ``plan`` needs at the comparison's size.

    Raises:
        PlanError: a scheme whose way of storing is not known.
    """
    model = catalog.models[comparison.model]
    return needs_of(plan, model, picture_asked(comparison, model), catalog=catalog)


def place_on(
    gpu: Gpu | placement.Device, comparison: Comparison, plan: Plan, catalog: Catalog
) -> Placement:
    """The best placement of ``plan`` on ``gpu``.

    Raises:
        DoesNotFit: none fits; the message has the numbers of each, and a size that would.
        PlanError: a scheme whose way of storing is not known.
    """
    needs = needs_at_size(comparison, plan, catalog)
    model = catalog.models[comparison.model]
    # A LoRA beside quantized weights would be gone with them after the first image.
    beside = comparison.carried is not None and lora_way(model, plan, catalog) == "after"
    for found in placements_for(needs, plan, gpu, catalog):
        if found.kind != "staged" or not beside:
            return found
    asked = picture_asked(comparison, model)
    largest = largest_size(plan, model, gpu, asked, catalog)
    smaller = largest and largest.width * largest.height < asked.pixels
    size = f"; the largest size of it that fits is {largest}" if smaller else ""
    size += decoded_lighter(plan, model, asked, gpu, catalog)
    raise DoesNotFit(refusal(needs, plan, gpu, catalog) + size)


def place_on_device(
    comparison: Comparison, plan: Plan, catalog: Catalog, device: Device
) -> Placement:
    """The best placement of ``plan`` on an accelerator, in the memory that it has free now.

    Raises:
        DoesNotFit: none fits; the message has the numbers of each, and what would fit.
    """
    try:
        return place_on(device.memory, comparison, plan, catalog)
    except DoesNotFit as error:
        raise DoesNotFit(f"{error}. {instead(comparison, plan, catalog, device)}") from None


def instead(comparison: Comparison, plan: Plan, catalog: Catalog, device: Device) -> str:
    """A sentence that names the largest plan below ``plan`` that is predicted to fit ``device``.

    Schemes that do not run on its machine, and those that are hopelessly slow on a GPU unless
    compiled, are left out.
    """
    model = catalog.models[comparison.model]
    limit = needs_of(plan, model, catalog=catalog).weights_bytes
    best: tuple[int, Plan, Placement] | None = None
    for smaller in _candidates(plan, model, catalog, device.machine):
        weights = needs_of(smaller, model, catalog=catalog).weights_bytes
        if weights >= limit or (best is not None and weights <= best[0]):
            continue
        with suppress(DoesNotFit):
            best = (weights, smaller, place_on(device.memory, comparison, smaller, catalog))
    if best is None:
        return "No smaller plan of this model is predicted to fit here; try a smaller size."
    _, smaller, found = best
    where = f" {how(found.kind)}" if how(found.kind) else ""
    return f"Predicted to fit here{where}: {smaller}, {gib(found.peak_bytes)} at its peak."


def died(
    comparison: Comparison,
    plan: Plan,
    how: str,
    *,
    killed: bool,
    catalog: Catalog,
    device: Device,
) -> Outcome:
    """The failed outcome of a plan whose process ended without one.

    ``how`` goes on after "The process of this plan"; where it was ``killed`` the message also says
    what would fit ``device``.
    """
    said = f"The process of this plan {how}"
    if killed:
        said += f". {instead(comparison, plan, catalog, device)}"
    return Outcome(str(plan), "failed", error=Failure("process", "ChildDied", said))


def _candidates(plan: Plan, model: Model, catalog: Catalog, machine: Machine) -> Iterator[Plan]:
    """Plans like ``plan`` with another scheme on the denoiser, or on it and the last encoder."""
    parts = {} if plan.dtype else dict(plan.parts)
    encoder = model.encoder
    for scheme in catalog.schemes.values():
        runs = here(scheme, catalog.methods[scheme.method], machine, model) == "ok"
        if not runs or scheme.storage is None or (scheme.eager and not plan.compiled):
            continue
        for component in (None, encoder):
            named = [model.components[0]] + ([component] if component else [])
            if all(why_not(scheme, c.library, c.cls) is None for c in named):
                chosen = parts | {c.name: scheme.id for c in named}
                order = [c.name for c in model.components]
                ordered = sorted(chosen.items(), key=lambda part: order.index(part[0]))
                yield replace(plan, parts=tuple(ordered), dtype=None)
