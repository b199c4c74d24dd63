"""What is refused before loading: schemes that cannot run here, plans that do not fit.

What is not refused comes back with where it is to be placed.
"""

from __future__ import annotations

from quantlab.catalog.answer.pick import nearest
from quantlab.catalog.machine import here, in_words
from quantlab.errors import DoesNotFit, Unavailable
from quantlab.lab.libraries import load
from quantlab.lab.load.fits import instead, needs_at_size, place_on_device
from quantlab.lab.load.pool import Pool
from quantlab.lab.load.runnable import why_not_run
from quantlab.lab.lora.attach import fused_lora, refuse_lora
from quantlab.lab.references import files_of
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan
from quantlab.words.units import gib

__all__ = ["check"]


def check(comparison: Comparison, plan: Plan, pool: Pool) -> str:
    """Where ``plan`` is to be placed, if it can be tried with ``pool`` now: ``Pool.load``'s kind.

    Raises:
        Unavailable: the model is not run here, or not without a picture; a picture to go by is
            not here; a scheme does not run here (the message names the
            nearest that does), or its library is broken (the message has the import error's first
            line).
        PlanError: the plan does not take the comparison's LoRA.
        DoesNotFit: the predicted peak is more than the memory that is free.
    """
    catalog, device = pool.catalog, pool.device
    model = catalog.models[comparison.model]
    if (reason := why_not_run(model, comparison)) is not None:
        raise Unavailable(reason)
    files_of(comparison.references)
    for name, scheme_id in plan.parts:
        scheme = catalog.schemes.get(scheme_id)
        if scheme is None:
            continue
        said = here(scheme, catalog.methods[scheme.method], device.machine, model)
        if said != "ok":
            other = nearest(scheme.id, device.machine, catalog)
            hint = f"; the nearest that runs here is {other}" if other else ""
            raise Unavailable(f"{scheme.id} on {name} is {in_words(said)}{hint}")
        method = catalog.methods[scheme.method]
        for package in method.packages:
            load(method.imports.get(package, package.replace("-", "_")))
    if device.is_cpu:
        refuse_lora(comparison, plan, catalog, "cpu")
        needed, free = _on_host(
            needs_at_size(comparison, plan, catalog).resident_bytes, comparison, plan, pool
        )
        if needed > free:
            raise DoesNotFit(
                f"predicted to need {gib(needed)} more at its peak; {gib(free)} are free here. "
                f"{instead(comparison, plan, catalog, device)}"
            )
        return "cpu"
    found = place_on_device(comparison, plan, catalog, device)
    refuse_lora(comparison, plan, catalog, found.kind)
    # Offloaded weights wait in host memory, which may be the smaller of the two.
    needed, free = _on_host(found.host_bytes, comparison, plan, pool)
    if needed > free:
        raise DoesNotFit(
            f"predicted to need {gib(needed)} of host memory beside the GPU's; "
            f"{gib(free)} are free here"
        )
    return found.kind


def _on_host(needed: int, comparison: Comparison, plan: Plan, pool: Pool) -> tuple[int, int]:
    """Bytes of host memory that ``plan`` needs beyond what is loaded, and those that are free.

    Where they are not enough, what waits for a later plan goes first.
    """
    catalog, free_bytes = pool.catalog, pool.device.host_free_bytes
    what = (catalog.models[comparison.model], plan, fused_lora(comparison, plan, catalog))
    needed -= pool.reused_bytes(*what)
    if needed > free_bytes():
        pool.keep_only(*what)
    return needed, free_bytes()
