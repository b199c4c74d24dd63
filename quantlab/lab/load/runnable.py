"""Models whose needs are predicted but which are not run, and why."""

from __future__ import annotations

from quantlab.catalog.schema import Model
from quantlab.words.comparison import Comparison

__all__ = ["why_not_run"]


def why_not_run(model: Model, asked: Comparison) -> str | None:
    """Why no image can be made with ``model`` as ``asked``, whatever the plan; or None."""
    family = model.family
    if not family.embeddings:
        return (
            f"{model.name}: encode_prompt of {model.pipeline} does not give what its call takes, "
            f"as it must to be run here; only its needs are predicted"
        )
    if family.unshown and asked.references:
        return f"{model.name}: {family.unshown}; without one it runs"
    if family.needs_reference and not asked.references:
        return f"{model.name} goes by a picture; give one with --reference FILE"
    return None
