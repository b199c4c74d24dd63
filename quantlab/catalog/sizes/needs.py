"""What a plan needs of a device and of the host, part by part: weights, running, reading.

The numbers come from sizes/weights.py and sizes/activations.py (what running adds).
sizes/predict.py makes the answer of ``predict`` of them, placement.py holds them against a device.
Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.activations import activation_bytes
from quantlab.catalog.sizes.shapes import shapes_of
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import plain_bytes, plan_bytes
from quantlab.catalog.table import Catalog
from quantlab.words.plan import DTYPE_SCHEMES, Plan

__all__ = ["Needs", "needs_of"]

LEAVES_AT_ONCE = 2
"""Leaves on the device under group offload: the one that runs and the one fetched ahead of it
(diffusers 0.42.1, hooks/group_offloading.py, LazyPrefetchGroupOffloadingHook)."""


@dataclass(frozen=True)
class Needs:
    """Bytes by component: ``weights`` as stored, ``running`` what one image adds while the
    component runs, ``leaves`` its largest module in its full width, ``reading`` the host bytes of
    the file that is read while it is quantized. ``scratch_bytes`` is the largest weight that is
    expanded to the compute dtype while a layer runs, ``loading_bytes`` what loading puts on the
    device whatever the placement.
    """

    weights: Mapping[str, int]
    running: Mapping[str, int]
    leaves: Mapping[str, int]
    reading: Mapping[str, int]
    scratch_bytes: int
    loading_bytes: int

    @property
    def weights_bytes(self) -> int:
        """All weights, quantization state included."""
        return sum(self.weights.values())

    @property
    def resident_bytes(self) -> int:
        """The device's peak with every component resident."""
        return self.weights_bytes + self.scratch_bytes + max(self.running.values())

    @property
    def offload_bytes(self) -> int:
        """The device's peak while running with one component on it at a time."""
        most = max(self.weights[name] + self.running[name] for name in self.weights)
        return most + self.scratch_bytes

    @property
    def group_bytes(self) -> int:
        """The device's peak while running with single leaves on it.

        Leaves count in full width although quantized ones are smaller: on the safe side.
        """
        most = max(self.running[n] + LEAVES_AT_ONCE * self.leaves[n] for n in self.weights)
        return most + self.scratch_bytes

    @property
    def host_bytes(self) -> int:
        """Host memory while loading for a device that keeps everything."""
        return max(self.weights[name] + self.reading[name] for name in self.weights)

    @property
    def offload_host_bytes(self) -> int:
        """Host memory where the weights wait there, with model and with group offload."""
        return self.weights_bytes + max(self.reading.values())


def needs_of(
    plan: Plan,
    model: Model,
    *,
    width: int | None = None,
    height: int | None = None,
    sequence_length: int | None = None,
    catalog: Catalog,
) -> Needs:
    """What ``plan`` needs at a size in pixels and a count of text tokens; None: the defaults.

    Raises:
        PlanError: an unknown scheme, or one whose way of storing is not known.
    """
    d = model.defaults
    size = (width or d.width, height or d.height, sequence_length or d.sequence_length)
    return _needs(model.id, replace(plan, compiled=False), *size, catalog)


@lru_cache(maxsize=4096)
def _needs(
    model_id: str,
    plan: Plan,
    width: int,
    height: int,
    sequence_length: int,
    catalog: Catalog,
) -> Needs:
    """Kept, because pick asks for every scheme of the catalogue each time."""
    model, named = catalog.models[model_id], dict(plan.parts)
    weights = plan_bytes(model_id, named, plan.dtype, catalog)
    widths = {name: WIDTHS[_dtype(plan, model, name)] for name in weights}
    running = {
        name: activation_bytes(
            model,
            name,
            width=width,
            height=height,
            sequence_length=sequence_length,
            item_bytes=widths[name],
        )
        for name in weights
    }
    scratch = _scratch_bytes(plan, model, catalog)
    on_device = [name for name, scheme in plan.parts if _loads_on_device(scheme, catalog)]
    return Needs(
        weights=weights,
        running=running,
        leaves={name: _largest(_table(model, name)) * widths[name] for name in weights},
        reading={name: _reading_bytes(model, name, named.get(name)) for name in weights},
        scratch_bytes=scratch,
        loading_bytes=sum(weights[name] for name in on_device) + (scratch if on_device else 0),
    )


def _dtype(plan: Plan, model: Model, component: str) -> str:
    """What the component keeps in what nothing quantizes."""
    named = plan.scheme(component) or ""
    return named if named in WIDTHS else plan.dtype or model.base_dtype


@lru_cache(maxsize=64)
def _largest(table: str) -> int:
    """Numbers of the largest module of a component."""
    return max(module.numbers for module in shapes_of(table))


@lru_cache(maxsize=64)
def _largest_linear(table: str) -> int:
    """Numbers of the largest weight of a component that is multiplied with."""
    linears = (m for m in shapes_of(table) if m.kind == "linear")
    return max((m.numbers - m.others for m in linears), default=0)


def _table(model: Model, component: str) -> str:
    known = model.component(component)
    return known.shapes if known else ""


def _loads_on_device(scheme_id: str, catalog: Catalog) -> bool:
    return any(method.loads_on_device for method in catalog.methods_of([scheme_id]))


def _scratch_bytes(plan: Plan, model: Model, catalog: Catalog) -> int:
    """The largest weight that is expanded to the compute dtype while a layer runs."""
    expanded = [name for name, scheme_id in plan.parts if scheme_id in catalog.schemes]
    numbers = max((_largest_linear(_table(model, name)) for name in expanded), default=0)
    return numbers * WIDTHS[plan.dtype or model.base_dtype]


def _reading_bytes(model: Model, component: str, scheme_id: str | None) -> int:
    """Host bytes of the file that is being read while a component is quantized; else none."""
    if scheme_id is None or scheme_id in DTYPE_SCHEMES:
        return 0
    whole = plain_bytes(model, component, WIDTHS[model.base_dtype])
    known = model.component(component)
    return min(whole, (known.largest_file if known else None) or whole)
