"""Kinds of pipelines whose needs are predicted but which are not run, and why."""

from __future__ import annotations

from quantlab.catalog.schema import Model

__all__ = ["why_not_run"]


def why_not_run(model: Model) -> str | None:
    """Why no image can be made with ``model`` here, whatever the plan; or None."""
    if model.family.needs_reference:
        return f"{model.name} goes by a picture, and none can be given here"
    if model.family.frames is not None:
        return f"{model.name} makes videos, and their frames are not counted here"
    return None
