"""One plan of the full-size pipeline with all on the device: stored bytes, peaks, steps, parts."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from benchmarks.flux_shaped.model import Shaped
from benchmarks.gpu_day.book import Book
from benchmarks.gpu_day.clocks import compile_blocks, each, middle, wall
from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.sizes.predict import Prediction, predict
from quantlab.lab.bench.fidelity import relative_l2
from quantlab.lab.bench.measure import PeakMemory
from quantlab.lab.bench.run import FirstStep, encode, forward, generate
from quantlab.lab.device import this_device
from quantlab.lab.libraries import resolve, torch
from quantlab.lab.load.keys import compute_dtype
from quantlab.lab.load.pool import LoadedPlan, Pool
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan

__all__ = ["Bench", "allocated"]

SIZES = (512, 2048)
REPEATS = 4
NOBODYS = Plan(parts=(("transformer", "nobody's"),))
"""Shares all parts but the transformer with the plans that are measured; never loaded itself."""


class Bench:
    """The shared parts, and the one step that every plan is asked for."""

    def __init__(self, book: Book, subject: Shaped) -> None:
        self.book, self.subject = book, subject
        self.model, self.asked = subject.model, subject.comparison
        self.device = this_device()
        self.pool = Pool(0, subject.catalog, self.device)
        self.base = parse_plan("bf16", self.model, subject.catalog)
        loaded = self.pool.load(self.model, self.base, lambda _: None)
        self.encoded = encode(loaded.pipe, self.asked, self.device)
        self.reference = self.image(loaded.pipe, self.asked)[0]

    def clear(self) -> None:
        """Let go of everything but the text encoders and the autoencoder in bf16."""
        self.pool.keep_only(self.model, NOBODYS)
        gc.collect()
        self.device.counters.release()

    def resident(self, plan: Plan, more: list[str]) -> None:
        """Loaded with all on the device: bytes, peaks, the step, one image, and ``more``."""
        with PeakMemory(self.device.counters) as peak:
            started = self.device.clock()
            loaded = self.pool.load(self.model, plan, lambda _: None)
            seconds, there = self.device.clock() - started, allocated()
            peak.loaded()
            decode_s = self.image(loaded.pipe, self.asked)[1]
        needs = self.needs(plan)
        total = sum(loaded.weights_bytes.values())
        self.book.add(
            "plan",
            plan=str(plan),
            load_s=seconds,
            weights_bytes=dict(loaded.weights_bytes),
            predicted_bytes=dict(needs.component_bytes),
            weights_error=total / needs.total_bytes - 1,
            allocated_bytes=there,
            **self.peaks(peak, needs.peak_bytes),
            decode_s=decode_s,
        )
        self.step(plan, loaded.pipe.transformer, "eager")
        if "parts" in more:
            self.parts(plan, loaded.pipe)
        for side in SIZES if "sizes" in more else ():
            self.sized(plan, loaded.pipe, side)
        if "compiled" in more:
            self.compiled(plan, loaded)

    def peaks(self, peak: PeakMemory, predicted: int) -> dict[str, Any]:
        """The peaks beside the prediction, and what the process has beside torch's share."""
        on_cuda = self.device.target == "cuda"
        outside = None
        if on_cuda:
            free, total = torch().cuda.mem_get_info()
            outside = total - free - torch().cuda.memory_reserved()
        return {
            "load_peak_bytes": peak.load_bytes,
            "run_peak_bytes": peak.run_bytes,
            "reserved_bytes": peak.reserved_bytes,
            "predicted_peak_bytes": predicted,
            "peak_error": (peak.run_bytes or 0) / predicted - 1 if on_cuda else None,
            "outside_torch_bytes": outside,
        }

    def needs(self, plan: Plan, side: int | None = None) -> Prediction:
        """The prediction for the size that is asked for, or for a square of ``side`` pixels."""
        return predict(
            self.model.id,
            plan,
            width=side or self.asked.width,
            height=side or self.asked.height,
            sequence_length=self.asked.sequence_length,
            catalog=self.subject.catalog,
        )

    def image(self, pipe: Any, asked: Comparison) -> tuple[FirstStep, float]:
        """One step and the decoding, through the pipeline, and the seconds of the latter."""
        stop = threading.Event()
        run = generate(pipe, asked, self.encoded, self.device, on_step=lambda _: None, stop=stop)
        return run.first, run.decode_s

    def step(self, plan: Plan, transformer: Any, mode: str, **more: Any) -> None:
        """Seconds of a step on the reference's input, what it adds in memory, its distance."""
        call = self.stepper(plan, transformer, self.reference)
        output = call()
        for _ in range(2 if mode == "compiled" else 0):
            call()
        before = allocated()
        self.device.counters.start()
        seconds = each(call, REPEATS)
        row = {
            "plan": str(plan),
            "mode": mode,
            "width": self.asked.width,
            "step_s": median(seconds),
            "all_s": [round(value, 5) for value in seconds],
            "step_adds_bytes": _added(before),
            "rel_l2": relative_l2(output.cpu(), self.reference.output),
        }
        self.book.add("step", **(row | more))

    def stepper(self, plan: Plan, transformer: Any, step: FirstStep) -> Callable[[], Any]:
        """The transformer's call on ``step``, whose inputs are on the device already."""
        dtype = resolve(compute_dtype(plan, self.model))
        there = replace(step, inputs=_there(step.inputs), output=None)
        return lambda: forward(transformer, there, dtype, self.device.target)

    def parts(self, plan: Plan, pipe: Any) -> None:
        """Seconds and memory of encoding the prompt and of decoding."""
        before = allocated()
        self.device.counters.start()
        seconds = [encode(pipe, self.asked, self.device).seconds for _ in range(3)]
        self.book.add(
            "encode",
            plan=str(plan),
            encode_s=median(seconds[1:]),
            encode_adds_bytes=_added(before),
        )
        self.device.counters.start()
        side, channels = self.asked.width // 8, pipe.vae.config.latent_channels
        kind = {"device": self.device.target, "dtype": torch().bfloat16}
        latents = torch().randn(1, channels, side, side, **kind)

        def decode() -> object:
            with torch().no_grad():
                return pipe.vae.decode(latents, return_dict=False)[0]

        self.book.add(
            "decode",
            plan=str(plan),
            width=self.asked.width,
            decode_s=middle(decode, 3),
            decode_adds_bytes=_added(before),
        )

    def sized(self, plan: Plan, pipe: Any, side: int) -> None:
        """The step and the peak at another size."""
        self.device.counters.start()
        first, decode_s = self.image(pipe, self.asked.changed(width=side, height=side))
        peak = self.device.counters.peak_bytes()
        call = self.stepper(plan, pipe.transformer, first)
        call()
        before = allocated()
        self.device.counters.start()
        seconds = each(call, 3)
        predicted = self.needs(plan, side).peak_bytes
        self.book.add(
            "size",
            plan=str(plan),
            width=side,
            step_s=median(seconds),
            decode_s=decode_s,
            step_adds_bytes=_added(before),
            run_peak_bytes=peak,
            predicted_peak_bytes=predicted,
            peak_error=peak / predicted - 1 if self.device.target == "cuda" else None,
        )

    def compiled(self, plan: Plan, loaded: LoadedPlan, **more: Any) -> None:
        """The same module with its blocks compiled."""
        module = loaded.pipe.transformer
        compile_blocks(module, dict(plan.parts).get("transformer", ""))
        first = wall(self.stepper(plan, module, self.reference))
        self.step(plan, module, "compiled", first_s=first, **more)


def allocated() -> int | None:
    """Bytes that torch has allocated on a CUDA device now."""
    return int(torch().cuda.memory_allocated()) if this_device().target == "cuda" else None


def _added(before: int | None) -> int | None:
    """What the peak since the counters began is above ``before``."""
    return None if before is None else this_device().counters.peak_bytes() - before


def _there(values: Mapping[str, Any]) -> dict[str, Any]:
    tensor = torch().Tensor
    return {
        n: v.to(this_device().target) if isinstance(v, tensor) else v for n, v in values.items()
    }
