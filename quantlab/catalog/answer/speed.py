"""Whether a scheme makes a model faster than 16-bit weights do on one card; predicted.

Both are resident, whatever the card's memory, and in the same mode: a compiled plan is held against
the compiled model, so that what the compiler does is no merit of the scheme.
"""

from __future__ import annotations

from functools import lru_cache

from quantlab.catalog.answer.seconds import Timer
from quantlab.catalog.gpus import Gpu, load_gpus
from quantlab.catalog.schema import Method, Model, Scheme
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.catalog.time import NOTHING, Known, Seconds
from quantlab.words.plan import Plan

__all__ = ["MODES", "compiles", "faster", "speeds"]

MODES = {"eager": False, "compiled": True}


def compiles(method: Method, scheme: Scheme) -> bool:
    """Whether the catalogue says that it works with torch.compile."""
    return method.cell("compile", scheme).value == "yes"


def faster(
    scheme: Scheme, model: Model, gpu: Gpu, *, compiled: bool, known: Known = NOTHING
) -> bool | None:
    """Whether it is faster than the model as it is in that mode; None where nobody can say."""
    found = speeds(scheme, model, gpu, known).get("compiled" if compiled else "eager")
    return None if found is None else found[0] < found[1]


def speeds(
    scheme: Scheme, model: Model, gpu: Gpu, known: Known = NOTHING
) -> dict[str, tuple[float, float]]:
    """By mode the seconds of an image with the scheme and without; none where no time is known.

    ``known`` is what was measured on such a card.
    """
    catalog = load_catalog()
    if model.id not in catalog.models or scheme.id not in catalog.schemes or gpu.id == "":
        return {}
    return _speeds(scheme.id, model.id, gpu.id, catalog, known)


@lru_cache(maxsize=4096)
def _speeds(
    scheme_id: str, model_id: str, gpu_id: str, catalog: Catalog, known: Known
) -> dict[str, tuple[float, float]]:
    scheme, timer, found = catalog.schemes[scheme_id], _timer(model_id, gpu_id, catalog, known), {}
    method, model = catalog.methods[scheme.method], timer.model
    for name, compiled in MODES.items():
        if compiled and not compiles(method, scheme):
            continue
        mine = Plan(((model.denoiser, scheme_id),), compiled=compiled)
        times = [timer.seconds(mine), timer.seconds(Plan((), model.base_dtype, compiled))]
        told = [time.mid for time in times if isinstance(time, Seconds)]
        if len(told) == len(times):
            found[name] = (told[0], told[1])
    return found


@lru_cache(maxsize=64)
def _timer(model_id: str, gpu_id: str, catalog: Catalog, known: Known) -> Timer:
    """Kept: schemes are asked for one by one."""
    model = catalog.models[model_id]
    return Timer(model, load_gpus()[gpu_id], picture_of(model), catalog, known=known)
