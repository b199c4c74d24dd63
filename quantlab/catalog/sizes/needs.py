"""What a plan needs of a device and of the host, part by part: weights, running, reading.

The numbers come from sizes/weights.py and sizes/activations.py (what running adds).
sizes/predict.py makes the answer of ``predict`` of them, placement.py holds them against a device.
Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
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

__all__ = ["Needs", "Part", "needs_of"]

CONVERTING = 8
"""Bytes a number of the weight that is being quantized. Measured: 4.0 to 7.9 (torchao, quanto,
sdnq, on FLUX.1's transformer and on T5)."""

LEAVES_AT_ONCE = 2
"""Leaves on the device under group offload: the one that runs and the one fetched ahead of it
(diffusers 0.42.1, hooks/group_offloading.py, LazyPrefetchGroupOffloadingHook)."""


class Part(NamedTuple):
    """What one component adds, in bytes.

    ``weights`` as stored, ``running`` what a call adds while it runs, ``adds`` that, or what
    loading adds, where it holds more than stays of it, ``leaf`` its largest module in its full
    width, ``passing`` the host memory that it takes on its way to the device, ``converting`` what
    is held beside its weights while it is quantized on the host. Pages of a file that is read are
    not counted: they are the system's to take back. ``let_go`` is what a trimmed plan lets go of
    once it is read: it counts while that is loaded. ``encoding`` is what encoding references adds,
    where it is what encodes them. ``expanded`` counts the numbers of the largest weight that is in
    its compute dtype while a layer runs; ``on_device`` is whether its library puts it there as it
    reads it, whatever the placement, but staged.
    """

    weights: int
    running: int
    adds: int
    leaf: int
    passing: int
    converting: int
    let_go: int
    encoding: int
    expanded: int
    on_device: bool


@dataclass(frozen=True)
class Needs:
    """What a plan needs, by component. ``scratch_bytes`` is the largest weight that is expanded to
    the compute dtype while a layer runs; ``denoisers`` and ``decoder`` name components; the others
    read the prompt."""

    parts: Mapping[str, Part]
    scratch_bytes: int
    denoisers: tuple[str, ...]
    decoder: str

    @property
    def weights(self) -> Mapping[str, int]:
        """Bytes of each component as it is stored."""
        return {name: part.weights for name, part in self.parts.items()}

    @cached_property
    def weights_bytes(self) -> int:
        """All weights, quantization state included."""
        return sum([part.weights for part in self.parts.values()])

    @property
    def loading_bytes(self) -> int:
        """What loading puts on the device whatever the placement, but staged."""
        there = [part for part in self.parts.values() if part.on_device]
        if not there:
            return 0
        return sum(p.weights for p in there) + max(p.let_go for p in there) + self.scratch_bytes

    @property
    def resident_bytes(self) -> int:
        """The device's peak with every component resident."""
        most = max([part.adds for part in self.parts.values()])
        return self.weights_bytes + self.scratch_bytes + most

    @property
    def staged_bytes(self) -> int:
        """The device's peak where the text encoders are gone when the denoiser is read, and the
        denoiser is when the images are decoded. The autoencoder comes with the denoiser."""
        decoder, denoisers = self.parts[self.decoder], [self.parts[n] for n in self.denoisers]
        drawing = (*self.denoisers, self.decoder)
        reading = [part for name, part in self.parts.items() if name not in drawing]
        encode = sum([p.weights for p in reading]) + max([p.adds for p in reading], default=0)
        steps = max([decoder.encoding, *(part.adds for part in denoisers)])
        draw = sum([part.weights for part in denoisers]) + decoder.weights + steps
        return max(max(encode, draw) + self.scratch_bytes, decoder.weights + decoder.running)

    @property
    def offload_bytes(self) -> int:
        """The device's peak while running with one component on it at a time."""
        return max([p.weights + p.adds for p in self.parts.values()]) + self.scratch_bytes

    @property
    def group_bytes(self) -> int:
        """The device's peak while running with single leaves on it.

        Leaves count in full width although quantized ones are smaller: on the safe side.
        """
        most = max([p.running + LEAVES_AT_ONCE * p.leaf for p in self.parts.values()])
        return most + self.scratch_bytes

    @cached_property
    def host_bytes(self) -> int:
        """Host memory while loading for a device that keeps everything, or a stage at a time: one
        component goes through it after the other."""
        return max([part.passing for part in self.parts.values()])

    @cached_property
    def peaks(self) -> Mapping[str, int]:
        """The device's peak in each placement, such as "model-offload", loading included."""
        loading = self.loading_bytes
        return {
            "resident": self.resident_bytes,
            "staged": self.staged_bytes,
            "model-offload": max(self.offload_bytes, loading),
            "group-offload": max(self.group_bytes, loading),
        }

    def host(self, kind: str) -> int:
        """Host memory beside the device's in a placement, where that is not the same."""
        return self.host_bytes if kind in ("resident", "staged") else self.offload_host_bytes

    @cached_property
    def offload_host_bytes(self) -> int:
        """Host memory where the weights wait there, with model and with group offload."""
        return self.weights_bytes + max([p.converting + p.let_go for p in self.parts.values()])


def needs_of(
    plan: Plan, model: Model, picture: Picture | None = None, *, catalog: Catalog
) -> Needs:
    """What ``plan`` needs for one call that asks for ``picture``; None: the model's defaults.

    Raises:
        PlanError: an unknown scheme, or one whose way of storing is not known.
    """
    asked, named = picture or picture_of(model), dict(plan.parts)
    counted = _parts(model.id, plan.dtype, plan.trimmed, asked, catalog)
    schemes = {component.name: named.get(component.name) for component in model.components}
    parts = {name: counted[name, s] for name, s in schemes.items() if s != LEFT_OUT}
    width, family = WIDTHS[plan.dtype or model.base_dtype], model.family
    scratch = width * max([part.expanded for part in parts.values()])
    return Needs(
        parts=parts,
        scratch_bytes=scratch,
        denoisers=tuple(name for name in family.denoisers if name in parts),
        decoder=family.decoder,
    )


class _Parts(dict[tuple[str, str | None], Part]):
    """By component and scheme, each counted when it is first asked for: plans by the hundred are
    made of a few dozen. ``dtype`` is the pipeline's."""

    def __init__(
        self, model: Model, dtype: str | None, trimmed: bool, picture: Picture, catalog: Catalog
    ) -> None:
        super().__init__()
        self._asked = model, dtype, trimmed, picture, catalog

    def __missing__(self, key: tuple[str, str | None]) -> Part:
        component, scheme = key
        self[key] = found = _part(component, scheme, *self._asked)
        return found


@lru_cache(maxsize=64)
def _parts(
    model_id: str, dtype: str | None, trimmed: bool, picture: Picture, catalog: Catalog
) -> _Parts:
    return _Parts(find_model(model_id, catalog), dtype, trimmed, picture, catalog)


def _part(
    component: str,
    named: str | None,
    model: Model,
    dtype: str | None,
    trimmed: bool,
    picture: Picture,
    catalog: Catalog,
) -> Part:
    """``named`` is its scheme, ``dtype`` the pipeline's."""
    table, scheme = _table(model, component), catalog.schemes.get(named or "")
    read = component_bytes(model, component, named, dtype, catalog)
    kept = str(named if named in WIDTHS else dtype or model.base_dtype)
    width, linear = WIDTHS[kept], _largest_linear(table)
    known = model.component(component)
    idle = idle_stored(model, known, scheme, width) if trimmed and known else 0
    mapped = scheme is None and kept == model.base_dtype  # from the file: what idles is not touched
    encodes = component == model.family.decoder
    running, let_go = _running(model.id, component, picture, width, catalog), 0 if mapped else idle
    return Part(
        weights=read - idle,
        running=running,
        adds=max(running, let_go),
        leaf=_largest(table) * width,
        passing=_passing_bytes(model, table, scheme, kept, read),
        converting=CONVERTING * linear if scheme else 0,
        let_go=let_go,
        encoding=encoding_bytes(model, picture, width) if encodes else 0,
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
