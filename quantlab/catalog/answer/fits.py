"""Whether a plan runs on a card: pick's verdict for each of its schemes, and the memory.

One rule for ``pick``, which asks about a scheme at a time, and for ``predict``, which asks about
whole plans: the worst claim decides.
"""

from __future__ import annotations

from functools import lru_cache

from quantlab.catalog.answer.judge import VERDICTS, Question, claims_of, worst
from quantlab.catalog.gpus import Gpu
from quantlab.catalog.placement import Device, best_kind, verdict_of
from quantlab.catalog.read.measured import findings_for
from quantlab.catalog.schema import Model, Verdict
from quantlab.catalog.sizes.needs import Needs
from quantlab.catalog.table import Catalog
from quantlab.words.plan import Plan

__all__ = ["fits", "support"]


def fits(needs: Needs, plan: Plan, model: Model, gpu: Gpu, catalog: Catalog) -> Verdict:
    """The verdict on ``plan`` on ``gpu``; ``needs`` are those of ``plan``."""
    memory = verdict_of(best_kind(needs, plan, gpu, catalog))
    return max(support(plan, model, gpu, catalog), memory, key=VERDICTS.index)


def support(plan: Plan, model: Model, gpu: Gpu | Device, catalog: Catalog) -> Verdict:
    """What the catalogue and its probes say of the plan's schemes on ``gpu``, whatever its
    memory."""
    found: list[Verdict] = ["runs"]
    for name, scheme_id in plan.parts:
        component = model.component(name)
        if component is not None and scheme_id in catalog.schemes:
            library = None if component.library == "diffusers" else component.library
            card = gpu.capability or gpu.arch
            found.append(_support(catalog, model.id, scheme_id, library, gpu.kind, card))
    return max(found, key=VERDICTS.index)


@lru_cache(maxsize=65536)
def _support(
    catalog: Catalog, model_id: str, scheme_id: str, library: str | None, kind: str, card: str
) -> Verdict:
    """Kept: the many cards of one architecture have one answer."""
    scheme, model = catalog.schemes[scheme_id], catalog.models[model_id]
    question = Question(kind, None, (), library, model, None, card=card)
    tried = findings_for(scheme, library, kind)
    return worst(claims_of(catalog.methods[scheme.method], scheme, question, tried))
