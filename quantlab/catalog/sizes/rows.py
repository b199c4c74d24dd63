"""The predicted needs of a model with one component in a scheme, as a row of pick asks for them.

The counting is sizes/needs.py's.
"""

from __future__ import annotations

from functools import lru_cache

from quantlab.catalog.schema import Component, Model
from quantlab.catalog.sizes.needs import Needs, needs_of
from quantlab.catalog.table import Catalog
from quantlab.errors import PlanError
from quantlab.words.plan import Plan

__all__ = ["sizes", "target"]


def target(model: Model, library: str | None) -> Component | None:
    """The component that a bare scheme stands for: the transformer, or the last text encoder where
    transformers is asked for."""
    return model.encoder if library == "transformers" else model.components[0]


@lru_cache(maxsize=4096)
def sizes(catalog: Catalog, model_id: str, plan: Plan) -> Needs | None:
    """What ``model_id`` needs with ``plan``, at its default size.

    None where the way of storing is not known; kept, because that takes as long to find out.
    """
    try:
        return needs_of(plan, catalog.models[model_id], catalog=catalog)
    except PlanError:
        return None
