"""Loaded components, kept by what they are, and the pipelines that are put together from them.

A component is loaded once however many plans use it, and reused for the next prompt. On a device
with memory of its own only the components of the plan at hand lie there: the others wait in host
memory, as long as the budget allows. Where both are one memory nothing waits.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from quantlab.catalog.placement import group_offload_options
from quantlab.catalog.schema import Method, Model
from quantlab.catalog.table import Catalog
from quantlab.lab.device import Device
from quantlab.lab.keep.variants import Variants
from quantlab.lab.libraries import load, resolve
from quantlab.lab.load import place
from quantlab.lab.load.blocks.pipeline import BlockPipeline
from quantlab.lab.load.keys import Key, keys_of
from quantlab.lab.load.reader import Held, Reader
from quantlab.lab.load.stages import Stages, config_alone
from quantlab.words.lora import Lora
from quantlab.words.plan import Plan

__all__ = ["LoadedPlan", "Pool", "compile_settings"]

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
    stages: Stages | None = None
    """Where the parts take turns; ``pipe`` is None then."""

    @property
    def denoiser_name(self) -> str:
        """The component that runs at every step: the first."""
        return next(iter(self.keys))

    @property
    def denoiser(self) -> Any:
        """The module that runs at every step."""
        if self.stages is not None:
            return self.stages.denoiser()
        return getattr(self.pipe, self.denoiser_name)

    def reading(self) -> AbstractContextManager[Any]:
        """The pipeline, while it encodes a prompt."""
        return nullcontext(self.pipe) if self.stages is None else self.stages.reading()

    def drawing(self) -> AbstractContextManager[Any]:
        """The pipeline, for one call with what was encoded."""
        return nullcontext(self.pipe) if self.stages is None else self.stages.drawing()

    def told(self) -> LoadedPlan:
        """The same with what is known of every component that has been on the device by now."""
        return self if self.stages is None else replace(self, **_figures(self.stages, self.keys))


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
        self._budget = 0 if device.unified else budget_bytes
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
        kind = placement or "resident"
        if target == "cpu" and kind != "staged":
            kind = "cpu"
        missing = {name: key for name, key in keys.items() if key not in self._held}
        self._reader.fetch(model, missing, say, keys)
        if kind != "cpu":
            self._make_room(set(keys.values()), kind)
        if kind == "staged":
            return self._staged(model, keys, say)
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
        return LoadedPlan(
            pipe=pipe,
            keys=keys,
            **_figures_of(held, keys, sum(h.seconds for h in held.values())),
            placement=kind,
            device=self.device,
            encoders=tuple(name for name in model.family.encoders if name in keys),
        )

    def _staged(
        self, model: Model, keys: Mapping[str, Key], say: Callable[[str], None]
    ) -> LoadedPlan:
        """The text encoders are read now, so that an error is told of before anything runs."""
        family = model.family
        drawing = (*family.denoisers, family.decoder)

        def take(name: str) -> tuple[Held, float]:
            key = keys[name]
            if key in self._held:
                self._held.move_to_end(key)
                place.onto(self._held[key].module, self.device.target)
                return self._held[key], 0.0
            self._held[key] = held = self._reader.read(model, key, "resident", say)
            return held, held.seconds

        def assemble(modules: Mapping[str, Any]) -> Any:
            pipe = self._assemble(model, dict.fromkeys(keys) | dict(modules))
            for name in family.asked_without(keys):
                if name not in modules:
                    cls, folder = self._reader.config_of(model, name)
                    config_alone(pipe, name, cls, folder)
            return pipe

        stages = Stages(
            take=take,
            leave=lambda names: self._leave([keys[name] for name in names if name in keys]),
            assemble=assemble,
            encoders=tuple(name for name in keys if name not in drawing),
            denoisers=tuple(name for name in family.denoisers if name in keys),
            decoder=family.decoder,
        )
        with stages.reading():
            pass
        return LoadedPlan(
            pipe=None,
            keys=keys,
            **_figures(stages, keys),
            placement="staged",
            device=self.device,
            encoders=tuple(name for name in family.encoders if name in keys),
            stages=stages,
        )

    def _leave(self, keys: Iterable[Key]) -> None:
        """Off the device: to wait in host memory within the budget, else let go of."""
        for key in keys:
            held = self._held.get(key)
            if held is None:
                continue
            waiting = sum(h.bytes for k, h in self._held.items() if k != key)
            if waiting + held.bytes <= self._budget:
                place.park(held.module)
            else:
                del self._held[key]
        self._release()

    def _make_room(self, in_use: set[Key], kind: str) -> None:
        """Only the plan that is measured lies on the device: what waits, waits in host memory."""
        for key, held in self._held.items():
            if kind != "resident" or key not in in_use:
                place.park(held.module)
        self._trim(in_use, self._budget)
        self._release()

    def _assemble(self, model: Model, modules: Mapping[str, Any]) -> Any:
        extras, family = self._reader.extras(model, modules), model.family
        if family.modular:
            optional = (*(c.name for c in model.components if c.optional), *model.absent)
            pipe: Any = BlockPipeline(model.pipeline, modules, family.encoders, extras, optional)
        else:
            cls = resolve(f"diffusers.{model.pipeline}")
            given = {**modules, **extras}
            # What a class calls optional it may still ask for, as from_pretrained does: with None;
            # and what a plan leaves out is not always called so.
            known = (*cls._optional_components, *(c.name for c in model.components))
            absent = dict.fromkeys(name for name in known if name not in given)
            pipe = cls(**given, **absent)
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


def _figures(stages: Stages, keys: Mapping[str, Key]) -> dict[str, Any]:
    seen = {name: stages.seen[name] for name in keys if name in stages.seen}
    return _figures_of(seen, keys, stages.seconds)


def _figures_of(held: Mapping[str, Held], keys: Mapping[str, Key], load_s: float) -> dict[str, Any]:
    """What ``LoadedPlan`` says of its components, by its fields' names."""
    ways = dict.fromkeys(h.how for n, h in held.items() if keys[n].scheme is not None)
    return {
        "weights_bytes": {name: h.bytes for name, h in held.items()},
        "load_s": load_s,
        "way": ", ".join(ways) or "from_pretrained",
        "notes": tuple(note for h in held.values() for note in h.notes),
    }


def compile_settings(methods: Iterable[Method]) -> dict[str, object]:
    """What is set of ``torch._dynamo.config`` before blocks with weights of ``methods`` are
    compiled."""
    named = {name: value for method in methods for name, value in method.dynamo.items()}
    return {**named, "recompile_limit": RECOMPILES}


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
    for name, value in compile_settings(methods).items():
        setattr(settings, name, value)
    held.module.compile_repeated_blocks(fullgraph=fullgraph)
    held.fullgraph = fullgraph
