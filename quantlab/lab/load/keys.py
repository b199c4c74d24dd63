"""What makes one loaded component different from another, known before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from quantlab.catalog.schema import Model
from quantlab.words.lora import Lora
from quantlab.words.plan import Plan

__all__ = ["DTYPES", "Key", "compute_dtype", "keys_of"]

DTYPES: Mapping[str, str] = MappingProxyType({"fp32": "torch.float32", "bf16": "torch.bfloat16"})


@dataclass(frozen=True)
class Key:
    """What makes one loaded component different from another; ``lora`` is fused into it, and what
    idles of a ``trimmed`` one is let go of."""

    model: str
    component: str
    scheme: str | None
    dtype: str
    compiled: bool = False
    lora: Lora | None = None
    trimmed: bool = False


def compute_dtype(plan: Plan, model: Model) -> str:
    """The dtype that a plan computes in, such as "torch.float32"."""
    return DTYPES[plan.dtype or model.base_dtype]


def keys_of(model: Model, plan: Plan, fused: Lora | None = None) -> dict[str, Key]:
    """What each component of ``plan`` is; ``fused`` is in the denoiser's weights."""
    dtype = compute_dtype(plan, model)
    return {c.name: _key(model, c.name, plan, dtype, fused) for c in model.used(plan)}


def _key(model: Model, name: str, plan: Plan, dtype: str, fused: Lora | None) -> Key:
    scheme = dict(plan.parts).get(name)
    if scheme is not None and DTYPES.get(scheme) == dtype:
        scheme = None  # asking for the dtype that the pipeline has anyway
    known = model.component(name)
    trimmed = plan.trimmed and known is not None and bool(known.idle)
    if name not in model.family.denoisers:
        return Key(model.id, name, scheme, dtype, trimmed=trimmed)
    return Key(model.id, name, scheme, dtype, plan.compiled, fused, trimmed)
