"""What the plan of checked code is predicted to need, and whether a card holds it so."""

from __future__ import annotations

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.sizes.predict import Prediction, predict_asked
from quantlab.catalog.table import Catalog
from quantlab.errors import QuantlabError
from quantlab.lab.check.plan import Told, plan_of
from quantlab.lab.check.uses import Code, Load
from quantlab.words.units import gib_of

__all__ = ["does_not_fit", "predicted"]

OFFLOADS = ("enable_model_cpu_offload", "enable_sequential_cpu_offload", "enable_group_offload")


def predicted(told: Told, gpu: Gpu | None, catalog: Catalog) -> Prediction | None:
    """What the plan needs; None where model or plan are not known, or how it is stored is not."""
    if told.model is None or told.plan is None:
        return None
    try:
        asked = make_comparison(
            model=told.model.id, plans=[told.plan], catalog=catalog, prompt="", **told.settings
        )
        return predict_asked(asked, asked.plans[0], gpu=gpu, catalog=catalog)
    except QuantlabError:
        return None


def does_not_fit(code: Code, load: Load) -> str:
    """Why the pipeline does not fit the chosen card as the code places it, or ""."""
    told = plan_of(code)
    if code.gpu is None or told.load is not load:
        return ""
    found = predicted(told, code.gpu, code.catalog)
    if found is None or found.on_card is None or found.on_card.placement == "resident":
        return ""
    sizes = gib_of(found.peak_bytes, code.gpu.bytes)
    if found.on_card.placement is None:
        return f"{told.plan} does not fit {code.gpu.name}: {sizes}."
    offloaded = bool(code.calls_within(load, *OFFLOADS))
    moved = bool(code.calls_on(load, "to", "cuda")) and not offloaded
    where = found.on_card.placement.replace("-", " ")
    said = f"{told.plan} needs {sizes} when it is moved to {code.gpu.name} whole"
    return f"{said}; it fits with {where}." if moved else ""
