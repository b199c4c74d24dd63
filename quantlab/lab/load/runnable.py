"""Models whose needs are predicted but which are not run, and why."""

from __future__ import annotations

from quantlab.catalog.schema import Model
from quantlab.words.comparison import Comparison
from quantlab.words.plan import LEFT_OUT

__all__ = ["why_not_run"]


def why_not_run(model: Model, asked: Comparison) -> str | None:
    """Why no image can be made with ``model`` as ``asked``, whatever the plan; or None."""
    family = model.family
    if not family.embeddings:
        return (
            f"{model.name}: encode_prompt of {model.pipeline} does not take a prompt alone and "
            f"give what its call takes, as it must to be run here; only its needs are predicted"
        )
    for plan in asked.plans if asked.references else ():
        for name in family.text_alone:
            if not plan.leaves_out(name):
                return (
                    f"{model.name}: beside a picture the {family.label(name)} is left out here, "
                    f"which reads text alone; name {name}={LEFT_OUT} in {plan}"
                )
    if family.needs_reference and not asked.references:
        return f"{model.name} goes by a picture; give one with --reference FILE"
    return None
