"""One plan at a time on the device: loaded, run once whole, its step timed and held against bf16.

Each visit loads its transformer afresh and leaves nothing of it behind; the text encoders and the
autoencoder stay, as they do between the plans of a comparison. On CUDA steps are timed by events,
elsewhere by the host's clock after the device is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks.flux_shaped.model import Shaped
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.machine import here
from quantlab.errors import Unavailable
from quantlab.lab.bench.fidelity import relative_l2
from quantlab.lab.bench.measure import PeakMemory
from quantlab.lab.bench.run import FirstStep, encode, forward, generate
from quantlab.lab.bench.tensors import on
from quantlab.lab.device import Device, this_device
from quantlab.lab.libraries import resolve, torch
from quantlab.lab.load.keys import compute_dtype, keys_of
from quantlab.lab.load.oom import forget, ran_out
from quantlab.lab.load.pool import LoadedPlan, Pool
from quantlab.words.plan import Plan

__all__ = ["REPEATS", "WARMUPS", "Bench", "Visit"]

REPEATS = 5
WARMUPS = {"eager": 2, "compiled": 6}
BASE = "bf16"
NOBODYS = Plan(parts=(("transformer", "nobody's"),))
"""Shares all parts but the transformer with the plans that are measured; never loaded itself."""


@dataclass(frozen=True)
class Visit:
    """What one visit of a plan measured. Bytes; seconds; ``None`` where the device does not tell.

    ``load_s`` is that of the transformer: read in bf16 and quantized. ``allocated_bytes`` is what
    torch has allocated once all is loaded. The peaks are of the whole pipeline: while loading, and
    while compiling, stepping and decoding.
    """

    load_s: float | None
    weights_bytes: Mapping[str, int]
    allocated_bytes: int | None
    load_peak_bytes: int | None
    run_peak_bytes: int | None
    reserved_bytes: int | None
    peak_kind: str
    step_s: float
    rel_l2: float


class Bench:
    """The pipeline's shared parts, and the step that every plan is asked for."""

    def __init__(self, shaped: Shaped) -> None:
        self._shaped = shaped
        self._device = this_device()
        self._pool = Pool(0, shaped.catalog, self._device)
        loaded = self._load(parse_plan(BASE, shaped.model, shaped.catalog))
        self._encoded = encode(loaded.pipe, shaped.comparison, self._device)
        self._reference = self._image(loaded.pipe)
        del loaded
        self._clear()

    def visit(self, plan: Plan) -> Visit:
        """Measure ``plan``.

        Raises:
            Unavailable: this machine cannot run it. Whatever else a backend raises comes as it is;
                after memory ran out nothing is held any more.
        """
        self._refuse(plan)
        try:
            return self._measured(plan)
        except Exception as error:
            forget(error)
            if ran_out(error):
                self._pool.drop_all()
            raise
        finally:
            self._clear()
            if plan.compiled:
                torch().compiler.reset()  # a person's process compiles one plan

    def _refuse(self, plan: Plan) -> None:
        for _, name in plan.parts:
            scheme = self._shaped.catalog.schemes.get(name)
            if scheme is None:
                continue  # a dtype
            method = self._shaped.catalog.methods[scheme.method]
            said = here(scheme, method, self._device.machine, self._shaped.model)
            if said != "ok":
                raise Unavailable(said)

    def _measured(self, plan: Plan) -> Visit:
        keys = keys_of(self._shaped.model, plan)
        alone = set(keys.values()) - {keys[self._shaped.model.denoiser]} <= set(self._pool.held())
        device = self._device
        with PeakMemory(device.counters) as peak:
            started = device.clock()
            loaded = self._load(plan)
            load_s = device.clock() - started
            allocated = torch().cuda.memory_allocated() if device.target == "cuda" else None
            peak.loaded()
            step = self._on_device(self._reference)
            dtype = resolve(compute_dtype(plan, self._shaped.model))
            denoiser = loaded.denoiser

            def once() -> Any:
                return forward(denoiser, step, dtype, device.target)

            for _ in range(WARMUPS["compiled" if plan.compiled else "eager"]):
                output = once()
            seconds = _seconds(once, REPEATS, device)
            self._image(loaded.pipe)
        return Visit(
            load_s=load_s if alone else None,
            weights_bytes=loaded.weights_bytes,
            allocated_bytes=allocated,
            load_peak_bytes=peak.load_bytes,
            run_peak_bytes=peak.run_bytes,
            reserved_bytes=peak.reserved_bytes,
            peak_kind=peak.kind,
            step_s=median(seconds),
            rel_l2=relative_l2(output, self._reference.output),
        )

    def _load(self, plan: Plan) -> LoadedPlan:
        return self._pool.load(self._shaped.model, plan, lambda _: None)

    def _image(self, pipe: Any) -> FirstStep:
        """One step and the decoding, through the pipeline; what the transformer was handed."""
        stop = threading.Event()
        asked = (pipe, self._shaped.comparison, self._encoded, self._device)
        run = generate(*asked, on_step=lambda _: None, stop=stop)
        return run.first

    def _clear(self) -> None:
        """Let go of the transformer; the shared parts stay."""
        self._pool.keep_only(self._shaped.model, NOBODYS)

    def _on_device(self, step: FirstStep) -> FirstStep:
        return replace(step, inputs=on(dict(step.inputs), self._device.target))


def _seconds(call: Callable[[], Any], repeats: int, device: Device) -> list[float]:
    """Seconds of each call, on the device's own clock where it has one."""
    if device.target != "cuda":
        found = []
        for _ in range(repeats):
            started = device.clock()
            call()
            found.append(device.clock() - started)
        return found
    event = torch().cuda.Event
    pairs = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(repeats)]
    for before, after in pairs:
        before.record()
        call()
        after.record()
    torch().cuda.synchronize()
    return [before.elapsed_time(after) / 1000 for before, after in pairs]
