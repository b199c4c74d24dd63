"""Loaded components, kept by what they are, and the pipelines that are put together from them.

A component is loaded once however many plans use it, and reused for the next prompt. On a device
with memory of its own only the components of the plan at hand lie there: the others wait in host
memory, as long as the budget allows.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quantlab.catalog.placement import group_offload_options
from quantlab.catalog.schema import Method, Model
from quantlab.catalog.table import Catalog
from quantlab.lab.device import Device
from quantlab.lab.keep.variants import Variants
from quantlab.lab.libraries import load, resolve
from quantlab.lab.load import place
from quantlab.lab.load.keys import Key, keys_of
from quantlab.lab.load.reader import Held, Reader
from quantlab.words.lora import Lora
from quantlab.words.plan import Plan

__all__ = ["LoadedPlan", "Pool"]

RECOMPILES = 1000
"""Offloading moves weights between calls, which the compiler takes for new cases."""


@dataclass(frozen=True)
class LoadedPlan:
    """A pipeline ready to run. Bytes per component; ``load_s`` as in ``Outcome``."""

    pipe: Any
    keys: Mapping[str, Key]
    weights_bytes: Mapping[str, int]
    load_s: float
    way: str
    placement: str
    device: Device
    notes: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    """The components that read the prompt."""

    @property
    def denoiser_name(self) -> str:
        """The component that runs at every step: the first."""
        return next(iter(self.keys))

    @property
    def denoiser(self) -> Any:
        """The module that runs at every step."""
        return getattr(self.pipe, self.denoiser_name)


class Pool:
    """Loaded components under a memory budget; the least recently used go first.

    ``device`` is what they run on, ``variants`` where quantized components are kept on disk, if
    anywhere.
    """

    def __init__(
        self,
        budget_bytes: int,
        catalog: Catalog,
        device: Device,
        variants: Variants | None = None,
    ) -> None:
        self._budget = budget_bytes
        self._held: OrderedDict[Key, Held] = OrderedDict()
        self.catalog, self.device = catalog, device
        self._reader = Reader(catalog, device.target, variants)

    def held(self) -> tuple[Key, ...]:
        """What is loaded now, the least recently used first."""
        return tuple(self._held)

    def reused_bytes(self, model: Model, plan: Plan, fused: Lora | None = None) -> int:
        """Bytes of what is loaded already and ``plan`` would use again."""
        keys = set(keys_of(model, plan, fused).values())
        return sum(held.bytes for key, held in self._held.items() if key in keys)

    def keep_only(self, model: Model, plan: Plan, fused: Lora | None = None) -> None:
        """Let go of everything that ``plan`` does not use."""
        self._trim(set(keys_of(model, plan, fused).values()), 0)
        self._release()

    def drop_all(self) -> None:
        """Let go of everything, as after memory ran out."""
        self._held.clear()
        self._release()

    def load(
        self,
        model: Model,
        plan: Plan,
        say: Callable[[str], None],
        placement: str | None = None,
        fused: Lora | None = None,
    ) -> LoadedPlan:
        """A pipeline for ``plan``, placed; ``say`` is told what is being done.

        ``placement`` is a kind of catalog/placement.py; None is "resident", on a CPU "cpu".
        ``fused`` is added to the denoiser's weights before they are quantized.

        Raises:
            LoadError: a component could not be loaded or quantized, or holds something else.
            Unavailable: a library that the plan needs is not here.
        """
        keys, target = keys_of(model, plan, fused), self.device.target
        kind = "cpu" if target == "cpu" else placement or "resident"
        missing = {name: key for name, key in keys.items() if key not in self._held}
        self._reader.fetch(model, missing, say)
        if kind != "cpu":
            self._make_room(set(keys.values()), kind)
        for key in keys.values():
            if key in self._held:
                self._held.move_to_end(key)
            else:
                self._held[key] = self._reader.read(model, key, kind, say)
        held = {name: self._held[key] for name, key in keys.items()}
        pipe = self._assemble(model, {name: h.module for name, h in held.items()})
        place.apply(pipe, kind, target, group_offload_options(plan, self.catalog))
        for name, key in keys.items():
            if key.compiled:
                _compile(held[name], kind, self.catalog.methods_of([key.scheme or ""]))
        self._trim(set(keys.values()), self._budget)
        ways = dict.fromkeys(h.how for n, h in held.items() if keys[n].scheme is not None)
        return LoadedPlan(
            pipe=pipe,
            keys=keys,
            weights_bytes={name: h.bytes for name, h in held.items()},
            load_s=sum(h.seconds for h in held.values()),
            way=", ".join(ways) or "from_pretrained",
            placement=kind,
            device=self.device,
            notes=tuple(note for h in held.values() for note in h.notes),
            encoders=tuple(name for name in model.family.encoders if name in keys),
        )

    def _make_room(self, in_use: set[Key], kind: str) -> None:
        """Only the plan that is measured lies on the device: what waits, waits in host memory."""
        for key, held in self._held.items():
            if kind != "resident" or key not in in_use:
                place.park(held.module)
        self._trim(in_use, self._budget)
        self._release()

    def _assemble(self, model: Model, modules: Mapping[str, Any]) -> Any:
        cls = resolve(f"diffusers.{model.pipeline}")
        pipe = cls(**modules, **self._reader.extras(model))
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def _release(self) -> None:
        gc.collect()
        self.device.counters.release()

    def _trim(self, in_use: set[Key], budget: int) -> None:
        total = sum(held.bytes for held in self._held.values())
        for key in [k for k in self._held if k not in in_use]:
            if total <= budget:
                return
            total -= self._held.pop(key).bytes


def _compile(held: Held, kind: str, methods: Iterable[Method]) -> None:
    """Compile the repeated blocks, once for each way of placing that needs it.

    Group offload and layerwise casting have hooks inside the blocks that the compiler must step
    around. The settings are those that diffusers' documentation names for offload and those of the
    method's file; all schemes share the code of the blocks, and with it the limit of recompiles.
    """
    fullgraph = kind != "group-offload" and held.whole_blocks
    if held.fullgraph == fullgraph or not hasattr(held.module, "compile_repeated_blocks"):
        return
    settings = load("torch._dynamo").config
    for method in methods:
        for name, value in method.dynamo.items():
            setattr(settings, name, value)
    settings.recompile_limit = max(settings.recompile_limit, RECOMPILES)
    held.module.compile_repeated_blocks(fullgraph=fullgraph)
    held.fullgraph = fullgraph
