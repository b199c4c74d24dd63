"""What others found fast on some hardware and is not timed here: told beside the choices.

No seconds follow from it, since it was measured in other programs; ``merits`` of data/methods say
what, where and by whom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from quantlab.catalog.answer.front import Placed
from quantlab.catalog.answer.judge import Question
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Merit, Method, Scheme
from quantlab.catalog.table import Catalog
from quantlab.words.choice import Label
from quantlab.words.plan import Plan

__all__ = ["merits_of", "praised"]


def merits_of(method: Method, scheme: Scheme, question: Question) -> tuple[Merit, ...]:
    """What is known of the speed of ``scheme`` on the hardware, or card, that is asked about."""
    gpu = question.gpu
    card = (gpu.capability or gpu.arch) if gpu is not None else ""
    if not card:
        return ()
    return tuple(m for m in method.merits if m.catches(scheme.id, question.hardware, card))


def praised(
    catalog: Catalog,
    chosen: Sequence[tuple[tuple[Label, ...], Placed]],
    question: Question,
    missing: frozenset[str],
) -> Iterator[Plan]:
    """The first choice's plan with each such scheme for the denoiser that no choice has.

    ``missing`` are methods that lack a package here.
    """
    model = question.model
    if not chosen or model is None:
        return
    part, first = model.components[0], chosen[0][1].plan
    taken = {one.plan.scheme(model.denoiser) for _, one in chosen}
    for scheme in catalog.schemes.values():
        method = catalog.methods[scheme.method]
        unfit = scheme.id in taken or method.id in missing
        if unfit or why_not(scheme, part.library, part.cls):
            continue
        if merits_of(method, scheme, question):
            others = [pair for pair in first.parts if pair[0] != model.denoiser]
            parts = ((model.denoiser, scheme.id), *others)
            yield replace(first, parts=parts, dtype=None, compiled=False)
