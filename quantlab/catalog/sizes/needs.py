"""What a plan needs of a device and of the host, part by part: weights, running, reading.

The numbers come from sizes/weights.py and sizes/activations.py (what running adds).
sizes/predict.py makes the answer of ``predict`` of them, placement.py holds them against a device.
Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from quantlab.catalog.schema import Model, Scheme
from quantlab.catalog.sizes.activations import activation_bytes, encoding_bytes
from quantlab.catalog.sizes.picture import Picture, picture_of
from quantlab.catalog.sizes.shapes import shapes_of
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import plan_bytes
from quantlab.catalog.table import Catalog
from quantlab.words.plan import Plan

__all__ = ["Needs", "needs_of"]

CONVERTING = 8
"""Bytes a number of the weight that is being quantized. Measured: 4.0 to 7.9 (torchao, quanto,
sdnq, on FLUX.1's transformer and on T5)."""

LEAVES_AT_ONCE = 2
"""Leaves on the device under group offload: the one that runs and the one fetched ahead of it
(diffusers 0.42.1, hooks/group_offloading.py, LazyPrefetchGroupOffloadingHook)."""


@dataclass(frozen=True)
class Needs:
    """Bytes by component: ``weights`` as stored, ``running`` what a call adds while the component
    runs, ``leaves`` its largest module in its full width, ``passing`` the host memory that it takes
    on its way to the device, ``converting`` what is held beside its weights while it is quantized
    on the host. Pages of a file that is read are not counted: they are the system's to take back.
    ``encoding_bytes`` is what encoding references adds. ``scratch_bytes`` is the largest weight
    that is expanded to the compute dtype while a layer runs, ``loading_bytes`` what loading puts on
    the device whatever the placement, but staged. ``denoisers`` and ``decoder`` name components;
    the others read the prompt.
    """

    weights: Mapping[str, int]
    running: Mapping[str, int]
    leaves: Mapping[str, int]
    passing: Mapping[str, int]
    converting: Mapping[str, int]
    encoding_bytes: int
    scratch_bytes: int
    loading_bytes: int
    denoisers: tuple[str, ...]
    decoder: str

    @property
    def weights_bytes(self) -> int:
        """All weights, quantization state included."""
        return sum(self.weights.values())

    @property
    def resident_bytes(self) -> int:
        """The device's peak with every component resident."""
        return self.weights_bytes + self.scratch_bytes + max(self.running.values())

    @property
    def staged_bytes(self) -> int:
        """The device's peak where the text encoders are gone when the denoiser is read, and the
        denoiser is when the images are decoded. The autoencoder comes with the denoiser."""
        drawing = [n for n in self.weights if n in (*self.denoisers, self.decoder)]
        reading = [n for n in self.weights if n not in drawing]
        encode = sum(self.weights[n] for n in reading)
        encode += max((self.running[n] for n in reading), default=0)
        steps = max(self.running[n] for n in self.denoisers)
        draw = sum(self.weights[n] for n in drawing) + max(steps, self.encoding_bytes)
        decode = self.weights[self.decoder] + self.running[self.decoder]
        return max(encode + self.scratch_bytes, draw + self.scratch_bytes, decode)

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
        """Host memory while loading for a device that keeps everything, or a stage at a time: one
        component goes through it after the other."""
        return max(self.passing.values())

    @property
    def offload_host_bytes(self) -> int:
        """Host memory where the weights wait there, with model and with group offload."""
        return self.weights_bytes + max(self.converting.values())


def needs_of(
    plan: Plan, model: Model, picture: Picture | None = None, *, catalog: Catalog
) -> Needs:
    """What ``plan`` needs for one call that asks for ``picture``; None: the model's defaults.

    Raises:
        PlanError: an unknown scheme, or one whose way of storing is not known.
    """
    asked = picture or picture_of(model)
    eager = replace(plan, compiled=False) if plan.compiled else plan
    return _needs(model.id, eager, asked, catalog)


@lru_cache(maxsize=4096)
def _needs(model_id: str, plan: Plan, picture: Picture, catalog: Catalog) -> Needs:
    """Kept, because pick asks for every scheme of the catalogue each time."""
    model, named = catalog.models[model_id], dict(plan.parts)
    weights = plan_bytes(model_id, named, plan.dtype, catalog)
    widths = {name: WIDTHS[_dtype(plan, model, name)] for name in weights}
    scratch = _scratch_bytes(plan, model, catalog)
    on_device = [name for name, scheme in plan.parts if _loads_on_device(scheme, catalog)]
    running = {n: _running(model_id, n, picture, widths[n], catalog) for n in weights}
    return Needs(
        weights=weights,
        running=running,
        leaves={name: _largest(_table(model, name)) * widths[name] for name in weights},
        passing={n: _passing_bytes(plan, model, n, weights[n], catalog) for n in weights},
        converting={n: _converting_bytes(plan, model, n, catalog) for n in weights},
        encoding_bytes=encoding_bytes(model, picture, widths[model.family.decoder]),
        scratch_bytes=scratch,
        loading_bytes=sum(weights[name] for name in on_device) + (scratch if on_device else 0),
        denoisers=tuple(n for n in model.family.denoisers if n in weights),
        decoder=model.family.decoder,
    )


@lru_cache(maxsize=1024)
def _running(
    model_id: str, component: str, picture: Picture, item_bytes: int, catalog: Catalog
) -> int:
    """Kept: whatever the schemes, running takes the same."""
    return activation_bytes(catalog.models[model_id], component, picture, item_bytes)


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


def _passing_bytes(plan: Plan, model: Model, name: str, weights: int, catalog: Catalog) -> int:
    """Host memory that a component takes on its way to a device.

    Measured on Linux as anonymous memory, with 1 GiB of FLUX.1's transformer and of T5 (diffusers
    0.42.1, transformers 5.23.0, safetensors): weights that keep the dtype of their file are mapped
    from it and take none; other dtypes, GGUF and layerwise casting hold all that they make; a
    config converts one module after the other, on the device where there is one.
    """
    scheme = catalog.schemes.get(plan.scheme(name) or "")
    if scheme is not None and _converts(scheme):
        return _converting_bytes(plan, model, name, catalog)
    if scheme is None and _dtype(plan, model, name) == model.base_dtype:
        return _largest(_table(model, name)) * WIDTHS[model.base_dtype]
    return weights


def _converts(scheme: Scheme) -> bool:
    """Whether it is made of base weights, module by module: no file of its own, and no cast."""
    return not scheme.from_file and (scheme.storage is None or scheme.storage.rule != "cast")


def _converting_bytes(plan: Plan, model: Model, name: str, catalog: Catalog) -> int:
    """What quantizing a component holds beside its weights: its largest Linear, several times."""
    quantized = plan.scheme(name) in catalog.schemes
    return CONVERTING * _largest_linear(_table(model, name)) if quantized else 0
