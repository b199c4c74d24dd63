"""Whether a plan runs on a card: pick's verdict for each of its schemes, and the memory.

One rule for ``pick``, which asks about a scheme at a time, and for ``predict``, which asks about
whole plans: the worst claim decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from quantlab.catalog.answer.judge import VERDICTS, Question, claims_of, worst
from quantlab.catalog.columns import SPEED
from quantlab.catalog.gpus import Gpu, load_gpus
from quantlab.catalog.placement import Device, best_placement, verdict_of
from quantlab.catalog.read.measured import findings_for
from quantlab.catalog.schema import Model, Verdict
from quantlab.catalog.sizes.needs import Needs
from quantlab.catalog.table import Catalog
from quantlab.catalog.time import NOTHING, Known
from quantlab.words.plan import Plan

__all__ = ["barred", "fits", "scheme_support", "support"]


def fits(needs: Needs, plan: Plan, model: Model, gpu: Gpu, catalog: Catalog) -> Verdict:
    """The verdict on ``plan`` on ``gpu``; ``needs`` are those of ``plan``."""
    best = best_placement(needs, plan, gpu, catalog)
    memory = verdict_of(best.kind if best else None)
    return max(support(plan, model, gpu, catalog), memory, key=VERDICTS.index)


def support(plan: Plan, model: Model, gpu: Gpu | Device, catalog: Catalog) -> Verdict:
    """What the catalogue and its probes say of the plan's schemes on ``gpu``, whatever its
    memory."""
    found = (verdict for _, verdict in _each(plan, model, gpu, catalog))
    return max(found, key=VERDICTS.index, default="runs")


def barred(plan: Plan, model: Model, gpu: Gpu | Device, catalog: Catalog) -> tuple[str, ...]:
    """The schemes of ``plan`` that do not run on ``gpu``, whatever its memory."""
    found = _each(plan, model, gpu, catalog)
    return tuple(dict.fromkeys(scheme for scheme, verdict in found if verdict == "no"))


def _each(
    plan: Plan, model: Model, gpu: Gpu | Device, catalog: Catalog
) -> Iterator[tuple[str, Verdict]]:
    """Every scheme of a plan that the catalogue knows, with what it says of it."""
    for name, scheme_id in plan.parts:
        component = model.component(name)
        if component is not None and scheme_id in catalog.schemes:
            library = None if component.library == "diffusers" else component.library
            card = gpu.capability or gpu.arch
            asked = Question(gpu.kind, None, (), library, model, None, card=card)
            yield scheme_id, scheme_support(scheme_id, asked, catalog)


def scheme_support(scheme_id: str, question: Question, catalog: Catalog) -> Verdict:
    """What the catalogue and its probes say of one scheme, whatever the memory."""
    model = question.model.id if question.model else None
    asked = (question.hardware, question.bits, question.needs, question.library)
    speed = SPEED.id in question.needs  # which alone asks what card it is, beside its architecture
    card = question.gpu.id if speed and question.gpu else None
    known = question.known if speed else NOTHING
    return _support(catalog, scheme_id, model, asked, question.architecture, card, known)


@lru_cache(maxsize=65536)
def _support(
    catalog: Catalog,
    scheme_id: str,
    model_id: str | None,
    asked: tuple[str | None, float | None, tuple[str, ...], str | None],
    architecture: str,
    card: str | None,
    known: Known,
) -> Verdict:
    """Kept: the many cards of one architecture have one answer."""
    scheme, model = catalog.schemes[scheme_id], catalog.models.get(model_id or "")
    hardware, bits, needs, library = asked
    gpu = load_gpus().get(card or "")
    question = Question(
        hardware, bits, needs, library, model, None, gpu, card=architecture, known=known
    )
    tried = findings_for(scheme, library, hardware)
    return worst(claims_of(catalog.methods[scheme.method], scheme, question, tried))
