"""What a plan needs of a device and of the host, part by part: weights, running, reading.

The numbers come from sizes/weights.py and sizes/activations.py (what running adds).
sizes/predict.py makes the answer of ``predict`` of them, placement.py holds them against a device.
Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from quantlab.catalog.schema import Model, Scheme
from quantlab.catalog.sizes.activations import activation_bytes, encoding_bytes
from quantlab.catalog.sizes.idle import idle_stored
from quantlab.catalog.sizes.picture import Picture, picture_of
from quantlab.catalog.sizes.shapes import shapes_of
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import component_bytes, find_model
from quantlab.catalog.table import Catalog
from quantlab.words.plan import LEFT_OUT, Plan

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
    ``let_go`` is what a trimmed plan lets go of once it is read: it counts while that is loaded.
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
    let_go: Mapping[str, int]
    encoding_bytes: int
    scratch_bytes: int
    loading_bytes: int
    denoisers: tuple[str, ...]
    decoder: str

    @cached_property
    def weights_bytes(self) -> int:
        """All weights, quantization state included."""
        return sum(self.weights.values())

    @cached_property
    def resident_bytes(self) -> int:
        """The device's peak with every component resident."""
        return self.weights_bytes + self.scratch_bytes + self._most(self.weights)

    def _most(self, names: Iterable[str]) -> int:
        """What running one of the components adds, or loading it, where that holds more than stays
        of it."""
        return max(map(self._adds.__getitem__, names), default=0)

    @cached_property
    def _adds(self) -> Mapping[str, int]:
        if not any(self.let_go.values()):
            return self.running
        return {name: max(adds, self.let_go[name]) for name, adds in self.running.items()}

    @cached_property
    def staged_bytes(self) -> int:
        """The device's peak where the text encoders are gone when the denoiser is read, and the
        denoiser is when the images are decoded. The autoencoder comes with the denoiser."""
        drawing = [n for n in self.weights if n in (*self.denoisers, self.decoder)]
        reading = [n for n in self.weights if n not in drawing]
        encode = sum(self.weights[n] for n in reading)
        encode += self._most(reading)
        steps = self._most(self.denoisers)
        draw = sum(self.weights[n] for n in drawing) + max(steps, self.encoding_bytes)
        decode = self.weights[self.decoder] + self.running[self.decoder]
        return max(encode + self.scratch_bytes, draw + self.scratch_bytes, decode)

    @cached_property
    def offload_bytes(self) -> int:
        """The device's peak while running with one component on it at a time."""
        most = max(self.weights[name] + self._most([name]) for name in self.weights)
        return most + self.scratch_bytes

    @cached_property
    def group_bytes(self) -> int:
        """The device's peak while running with single leaves on it.

        Leaves count in full width although quantized ones are smaller: on the safe side.
        """
        most = max(self.running[n] + LEAVES_AT_ONCE * self.leaves[n] for n in self.weights)
        return most + self.scratch_bytes

    @cached_property
    def host_bytes(self) -> int:
        """Host memory while loading for a device that keeps everything, or a stage at a time: one
        component goes through it after the other."""
        return max(self.passing.values())

    def peak(self, kind: str) -> int:
        """The device's peak in a placement, such as "model-offload", loading included."""
        if kind in ("resident", "staged"):
            return self.resident_bytes if kind == "resident" else self.staged_bytes
        running = self.offload_bytes if kind == "model-offload" else self.group_bytes
        return max(running, self.loading_bytes)

    def host(self, kind: str) -> int:
        """Host memory beside the device's in a placement, where that is not the same."""
        return self.host_bytes if kind in ("resident", "staged") else self.offload_host_bytes

    @cached_property
    def offload_host_bytes(self) -> int:
        """Host memory where the weights wait there, with model and with group offload."""
        read = (self.converting[name] + self.let_go[name] for name in self.weights)
        return self.weights_bytes + max(read)


def needs_of(
    plan: Plan, model: Model, picture: Picture | None = None, *, catalog: Catalog
) -> Needs:
    """What ``plan`` needs for one call that asks for ``picture``; None: the model's defaults.

    Raises:
        PlanError: an unknown scheme, or one whose way of storing is not known.
    """
    asked = picture or picture_of(model)
    return _needs(model.id, plan.parts, plan.dtype, plan.trimmed, asked, catalog)


@lru_cache(maxsize=1024)
def _needs(
    model_id: str,
    parts: tuple[tuple[str, str], ...],
    dtype: str | None,
    trimmed: bool,
    picture: Picture,
    catalog: Catalog,
) -> Needs:
    """Kept, because pick asks for every scheme of the catalogue each time."""
    model, named = find_model(model_id, catalog), dict(parts)
    found = {
        c.name: _part(model_id, c.name, named.get(c.name), dtype, trimmed, picture, catalog)
        for c in model.components
        if named.get(c.name) != LEFT_OUT
    }
    expanded = max((part.expanded for part in found.values()), default=0)
    scratch = expanded * WIDTHS[dtype or model.base_dtype]
    on_device = [part for part in found.values() if part.on_device]
    read = sum(part.weights for part in on_device) + max((p.let_go for p in on_device), default=0)
    family = model.family
    return Needs(
        weights={name: part.weights for name, part in found.items()},
        running={name: part.running for name, part in found.items()},
        leaves={name: part.leaf for name, part in found.items()},
        passing={name: part.passing for name, part in found.items()},
        converting={name: part.converting for name, part in found.items()},
        let_go={name: part.let_go for name, part in found.items()},
        encoding_bytes=encoding_bytes(model, picture, found[family.decoder].width),
        scratch_bytes=scratch,
        loading_bytes=read + (scratch if on_device else 0),
        denoisers=tuple(name for name in family.denoisers if name in found),
        decoder=family.decoder,
    )


class _Part(NamedTuple):
    """What one component adds; bytes as in ``Needs``. ``width`` of its numbers that nothing
    quantizes, ``expanded`` how many numbers are in its compute dtype while a layer runs,
    ``on_device`` whether its library puts it there as it reads it."""

    weights: int
    running: int
    leaf: int
    passing: int
    converting: int
    let_go: int
    width: int
    expanded: int
    on_device: bool


@lru_cache(maxsize=4096)
def _part(
    model_id: str,
    component: str,
    named: str | None,
    dtype: str | None,
    trimmed: bool,
    picture: Picture,
    catalog: Catalog,
) -> _Part:
    """Kept: plans by the hundred are made of a few dozen parts. ``named`` is its scheme, ``dtype``
    the pipeline's."""
    model = catalog.models[model_id]
    table, scheme = _table(model, component), catalog.schemes.get(named or "")
    read = component_bytes(model, component, named, dtype, catalog)
    kept = str(named if named in WIDTHS else dtype or model.base_dtype)
    width, linear = WIDTHS[kept], _largest_linear(table)
    known = model.component(component)
    idle = idle_stored(model, known, scheme, width) if trimmed and known else 0
    mapped = scheme is None and kept == model.base_dtype  # from the file: what idles is not touched
    return _Part(
        weights=read - idle,
        running=_running(model_id, component, picture, width, catalog),
        leaf=_largest(table) * width,
        passing=_passing_bytes(model, table, scheme, kept, read),
        converting=CONVERTING * linear if scheme else 0,
        let_go=0 if mapped else idle,
        width=width,
        expanded=linear if scheme else 0,
        on_device=scheme is not None and catalog.methods[scheme.method].loads_on_device,
    )


@lru_cache(maxsize=1024)
def _running(
    model_id: str, component: str, picture: Picture, item_bytes: int, catalog: Catalog
) -> int:
    """Kept: whatever the schemes, running takes the same."""
    return activation_bytes(catalog.models[model_id], component, picture, item_bytes)


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


def _passing_bytes(
    model: Model, table: str, scheme: Scheme | None, dtype: str, weights: int
) -> int:
    """Host memory that a component takes on its way to a device.

    Measured on Linux as anonymous memory, with 1 GiB of FLUX.1's transformer and of T5 (diffusers
    0.42.1, transformers 5.23.0, safetensors): weights that keep the dtype of their file are mapped
    from it and take none; other dtypes, GGUF and layerwise casting hold all that they make; a
    config converts one module after the other, on the device where there is one.
    """
    if scheme is not None and _converts(scheme):
        return CONVERTING * _largest_linear(table)
    if scheme is None and dtype == model.base_dtype:
        return _largest(table) * WIDTHS[model.base_dtype]
    return weights


def _converts(scheme: Scheme) -> bool:
    """Whether it is made of base weights, module by module: no file of its own, and no cast."""
    return not scheme.from_file and (scheme.storage is None or scheme.storage.rule != "cast")
