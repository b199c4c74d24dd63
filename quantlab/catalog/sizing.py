"""The predicted size of a model with one component in a scheme, kept for the life of a process.

The prediction itself is footprint.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from quantlab.catalog.schema import Component, Model
from quantlab.catalog.table import Catalog
from quantlab.errors import PlanError

__all__ = ["Sizes", "sizes", "target"]


@dataclass(frozen=True)
class Sizes:
    """Predicted bytes of a whole pipeline: weights, peak with all resident, peak with offload."""

    weights_bytes: int
    peak_bytes: int
    offload_peak_bytes: int


@dataclass(frozen=True)
class _Parts:
    """A plan as footprint.predict reads it."""

    parts: tuple[tuple[str, str], ...]
    dtype: str | None = None


def target(model: Model, library: str | None) -> Component | None:
    """The component that a bare scheme stands for: the transformer, or the last text encoder where
    transformers is asked for."""
    wanted = library or "diffusers"
    matching = [c for c in model.components if c.library == wanted]
    if not matching:
        return None
    return matching[0] if wanted == "diffusers" else matching[-1]


@lru_cache(maxsize=2048)
def sizes(catalog: Catalog, model_id: str, component: str, scheme_id: str) -> Sizes | None:
    """Predicted bytes of ``model_id`` with one component in a scheme, at its default size.

    None where the way of storing is not known.
    """
    from quantlab.catalog.footprint import predict

    try:
        found = predict(model_id, _Parts(((component, scheme_id),)), catalog=catalog)
    except PlanError:
        return None
    return Sizes(found.total_bytes, found.peak_bytes, found.offload_peak_bytes)
