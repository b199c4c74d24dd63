"""What is refused before loading: schemes that cannot run here, plans that do not fit."""

from __future__ import annotations

from quantlab.catalog.footprint import predict
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.pick import nearest
from quantlab.catalog.table import Catalog
from quantlab.errors import DoesNotFit, Unavailable
from quantlab.lab.libraries import load, resolve, torch
from quantlab.lab.load import Pool, device
from quantlab.lab.plan import Comparison, Plan

__all__ = ["check"]

GIB = 2**30
IMPORT_NAMES = {"optimum-quanto": "optimum.quanto"}
"""Packages whose import name is not their own with underscores."""


def check(comparison: Comparison, plan: Plan, catalog: Catalog, pool: Pool) -> None:
    """Raise unless ``plan`` can be tried on this machine now.

    Raises:
        Unavailable: a scheme does not run here (the message names the nearest that does), or its
            library is broken (the message has the import error's first line).
        DoesNotFit: the predicted peak is more than the memory that is free.
    """
    model = catalog.models[comparison.model]
    for name, scheme_id in plan.parts:
        scheme = catalog.schemes.get(scheme_id)
        if scheme is None:
            continue
        said = here(scheme, catalog.methods[scheme.method], this_machine(), model)
        if said != "ok":
            instead = nearest(scheme.id)
            hint = f"; the nearest that runs here is {instead}" if instead else ""
            raise Unavailable(f"{scheme.id} on {name} is {said}{hint}")
        for package in catalog.methods[scheme.method].packages:
            load(IMPORT_NAMES.get(package, package.replace("-", "_")))
    _check_fits(comparison, plan, catalog, pool)


def _check_fits(comparison: Comparison, plan: Plan, catalog: Catalog, pool: Pool) -> None:
    model = catalog.models[comparison.model]
    prediction = predict(
        comparison.model,
        plan,
        width=comparison.width,
        height=comparison.height,
        sequence_length=comparison.sequence_length,
        catalog=catalog,
    )
    needed = prediction.peak_bytes - pool.reused_bytes(model, plan)
    if needed > _free_bytes():
        pool.keep_only(model, plan)  # what waits for a later plan goes first
    free = _free_bytes()
    if needed > free:
        raise DoesNotFit(
            f"predicted to need {needed / GIB:.1f} GiB more at its peak; "
            f"{free / GIB:.1f} GiB are free here"
        )


def _free_bytes() -> int:
    if device() == "cuda":
        return int(torch().cuda.mem_get_info()[0])
    return int(resolve("psutil.virtual_memory")().available)
