"""FLUX.1-dev by shape at full size: bytes and peaks against the predictions, seconds of a step.

Random weights in a folder in memory, loaded as people's weights are. An item is a plan and, after
"+", what is tried with it: "compiled", "sizes", "parts" (encoders and autoencoder) or a placement.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

from benchmarks.gpu_day.book import Book
from benchmarks.gpu_day.clocks import each, middle, wall
from benchmarks.gpu_day.packed import PACKED, pack
from benchmarks.shaped_model import Shaped, shaped
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.sizes.needs import needs_of
from quantlab.lab.bench.fidelity import relative_l2
from quantlab.lab.load.keys import compute_dtype
from quantlab.lab.libraries import device, load, resolve, torch
from quantlab.lab.bench.measure import PeakMemory, clock, counters
from quantlab.catalog.comparison import parse_plan
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan
from quantlab.lab.load.pool import RECOMPILES, LoadedPlan, Pool
from quantlab.lab.bench.run import Encoded, FirstStep, encode, forward, generate
from quantlab.lab.load.weights import stored_bytes

__all__ = ["items", "prepared"]

MODEL = "flux1-dev"
BOTH = "transformer={0},text_encoder_2={0}"
FULL = (
    "bf16+parts+sizes+compiled",
    "bnb-nf4+sizes+compiled",
    "torchao-fp8dq+compiled",
    "torchao-int8wo+compiled",
    "torchao-int8dq+compiled",
    "bf16+model-offload",
    "bnb-nf4+model-offload",
    "bnb-int8",
    "sdnq-int8",
    "layerwise-fp8",
    "quanto-int8",
    "gguf-q8_0",
    "gguf-q4_0",
    "torchao-fp8wo+compiled",
    "sdnq-uint4",
    "quanto-fp8",
    "bf16+group-offload",
    "bf16+group-offload-plain",
    BOTH.format("bnb-nf4") + "+parts",
    BOTH.format("torchao-int8wo") + "+parts",
    BOTH.format("torchao-int8wo") + "+model-offload",
    BOTH.format("quanto-int8") + "+parts",
    "torchao-int4wo",
)
"""In the order of their worth."""
SIZES = (512, 2048)
REPEATS = 4


def items(scale: str) -> tuple[str, ...]:
    """Plans, each with what is tried."""
    return FULL if scale == "full" else ("bf16+parts", "torchao-int8wo", "gguf-q8_0")


@contextmanager
def prepared(book: Book, scale: str) -> Iterator[Callable[[str], None]]:
    """Builds the weights, loads the parts that the plans share, yields what tries an item."""
    started = clock()
    with shaped(MODEL, scale) as subject:
        book.add("built", seconds=clock() - started)
        started = clock()
        bench = _Bench(book, subject)
        book.add("shared", seconds=clock() - started)
        yield bench.work


class _Bench:
    """The shared parts, and the one step that every plan is asked for."""

    def __init__(self, book: Book, subject: Shaped) -> None:
        self.book, self.subject, self.asked = book, subject, subject.comparison
        self.pool = Pool(0, subject.catalog)
        base = parse_plan("bf16", subject.model, subject.catalog)
        loaded = self.pool.load(subject.model, base, lambda _: None)
        self.encoded = encode(loaded.pipe, self.asked)
        self.reference = self.image(loaded.pipe, self.asked)[0]
        self.base = base

    def work(self, item: str) -> None:
        """Try one item; nothing of its transformer stays."""
        text, *more = item.split("+")
        placements = [name for name in more if name.startswith(("model-", "group-"))]
        try:
            if placements:
                self.offloaded(text, placements[0])
            elif text in PACKED:
                self.packed(text)
            else:
                self.resident(parse_plan(text, self.subject.model, self.subject.catalog), more)
        finally:
            torch().compiler.reset()
            self.clear()

    def clear(self) -> None:
        """Let go of everything but the text encoders and the autoencoder in bf16."""
        nobodys = Plan(parts=(("transformer", "nobody's"),))
        self.pool.keep_only(self.subject.model, nobodys)
        gc.collect()
        counters().release()

    def resident(self, plan: Plan, more: list[str]) -> None:
        """Loaded with all on the device: bytes, peaks, the step, one image."""
        with PeakMemory() as peak:
            started = clock()
            loaded = self.pool.load(self.subject.model, plan, lambda _: None)
            seconds = clock() - started
            allocated = _allocated()
            peak.loaded()
            decode_s = self.image(loaded.pipe, self.asked)[1]
        self.book.add(
            "plan",
            plan=str(plan),
            load_s=seconds,
            **self.held(plan, loaded, allocated),
            load_peak_bytes=peak.load_bytes,
            run_peak_bytes=peak.run_bytes,
            reserved_bytes=peak.reserved_bytes,
            **self.foreseen(plan, peak),
            decode_s=decode_s,
        )
        self.step(plan, loaded.pipe.transformer, "eager")
        if "parts" in more:
            self.parts(plan, loaded.pipe)
        if "sizes" in more:
            for side in SIZES:
                self.sized(plan, loaded.pipe, side)
        if "compiled" in more:
            self.compiled(plan, loaded)

    def held(self, plan: Plan, loaded: LoadedPlan, allocated: int | None) -> dict[str, Any]:
        """Stored bytes beside the formula's."""
        needs = self.needs(plan)
        total = sum(loaded.weights_bytes.values())
        return {
            "weights_bytes": dict(loaded.weights_bytes),
            "predicted_bytes": dict(needs.component_bytes),
            "weights_error": total / needs.total_bytes - 1,
            "allocated_bytes": allocated,
            "allocated_error": allocated / needs.total_bytes - 1 if allocated else None,
        }

    def foreseen(self, plan: Plan, peak: PeakMemory) -> dict[str, Any]:
        """The peak beside the prediction."""
        predicted = self.needs(plan).peak_bytes
        error = peak.run_bytes / predicted - 1 if peak.run_bytes and device() == "cuda" else None
        return {"predicted_peak_bytes": predicted, "peak_error": error}

    def needs(self, plan: Plan, **size: int) -> Any:
        given = {
            "width": self.asked.width,
            "height": self.asked.height,
            "sequence_length": self.asked.sequence_length,
        }
        return predict(
            self.subject.model.id, plan, **(given | size), catalog=self.subject.catalog
        )

    def image(self, pipe: Any, asked: Comparison) -> tuple[FirstStep, float]:
        """One step and the decoding, through the pipeline, and the seconds of the latter."""
        run = generate(
            pipe, asked, self.encoded, on_step=lambda _: None, stop=threading.Event()
        )
        return run.first, run.decode_s

    def step(self, plan: Plan, transformer: Any, mode: str, **more: Any) -> None:
        """Seconds of a step on the reference's input, what it adds in memory, its distance."""
        call = self.stepper(plan, transformer, self.reference)
        output = call()
        if mode == "compiled":
            for _ in range(2):
                call()
        before = _allocated()
        counters().start()
        seconds = each(call, REPEATS)
        self.book.add(
            "step",
            plan=str(plan),
            mode=mode,
            width=self.asked.width,
            step_s=median(seconds),
            all_s=[round(value, 5) for value in seconds],
            step_adds_bytes=None if before is None else counters().peak_bytes() - before,
            rel_l2=relative_l2(output.cpu(), self.reference.output),
            **more,
        )

    def stepper(self, plan: Plan, transformer: Any, step: FirstStep) -> Callable[[], Any]:
        """The transformer's call on ``step``, whose inputs are on the device already."""
        dtype = resolve(compute_dtype(plan, self.subject.model))
        there = FirstStep(_there(step.inputs), None)
        return lambda: forward(transformer, there, dtype)

    def parts(self, plan: Plan, pipe: Any) -> None:
        """Seconds and memory of encoding the prompt and of decoding."""
        before = _allocated()
        counters().start()
        seconds = [encode(pipe, self.asked).seconds for _ in range(3)]
        adds = None if before is None else counters().peak_bytes() - before
        self.book.add(
            "encode", plan=str(plan), encode_s=median(seconds[1:]), encode_adds_bytes=adds
        )
        counters().start()
        side = self.asked.width // 8
        channels = pipe.vae.config.latent_channels
        latents = torch().randn(
            1, channels, side, side, device=device(), dtype=torch().bfloat16
        )

        def decode() -> object:
            with torch().no_grad():
                return pipe.vae.decode(latents, return_dict=False)[0]

        seconds_ = middle(decode, 3)
        adds = None if before is None else counters().peak_bytes() - before
        self.book.add("decode", plan=str(plan), decode_s=seconds_, decode_adds_bytes=adds)

    def sized(self, plan: Plan, pipe: Any, side: int) -> None:
        """The step and the peak at another size."""
        asked = replace(self.asked, width=side, height=side)
        counters().start()
        first, decode_s = self.image(pipe, asked)
        peak = counters().peak_bytes()
        call = self.stepper(plan, pipe.transformer, first)
        call()
        before = _allocated()
        counters().start()
        seconds = each(call, 3)
        predicted = self.needs(plan, width=side, height=side).peak_bytes
        self.book.add(
            "size",
            plan=str(plan),
            width=side,
            step_s=median(seconds),
            decode_s=decode_s,
            step_adds_bytes=None if before is None else counters().peak_bytes() - before,
            run_peak_bytes=peak,
            predicted_peak_bytes=predicted,
            peak_error=peak / predicted - 1 if device() == "cuda" else None,
        )

    def compiled(self, plan: Plan, loaded: LoadedPlan) -> None:
        """The same module with its blocks compiled, with the settings that the pool uses."""
        settings = load("torch._dynamo").config
        settings.capture_dynamic_output_shape_ops = "bnb" in str(plan)
        settings.recompile_limit = max(settings.recompile_limit, RECOMPILES)
        module = loaded.pipe.transformer
        module.compile_repeated_blocks(fullgraph="layerwise" not in str(plan))
        first = wall(self.stepper(plan, module, self.reference))
        self.step(plan, module, "compiled", first_s=first)

    def packed(self, scheme: str) -> None:
        """GGUF: the bf16 transformer's Linear weights packed on the device, where they are."""
        loaded = self.pool.load(self.subject.model, self.base, lambda _: None)
        plan = parse_plan(scheme, self.subject.model, self.subject.catalog)
        transformer = pack(loaded.pipe.transformer, scheme)
        gc.collect()
        counters().release()
        stored = stored_bytes(transformer)
        predicted = self.needs(plan).component_bytes["transformer"]
        with PeakMemory() as peak:
            peak.loaded()
            self.image(loaded.pipe, self.asked)
        self.book.add(
            "plan",
            plan=scheme,
            weights_bytes={"transformer": stored},
            predicted_bytes={"transformer": predicted},
            weights_error=stored / predicted - 1,
            run_peak_bytes=peak.run_bytes,
            reserved_bytes=peak.reserved_bytes,
            **self.foreseen(plan, peak),
        )
        self.step(plan, transformer, "eager")

    def offloaded(self, text: str, placement: str) -> None:
        """A pipeline of its own under offload: seconds of its parts, peak against prediction."""
        if device() == "cpu":
            return
        self.pool.drop_all()
        gc.collect()
        counters().release()
        plan = parse_plan(text, self.subject.model, self.subject.catalog)
        kind = placement.removesuffix("-plain")
        pool = Pool(0, self.subject.catalog)
        started = clock()
        with PeakMemory() as peak:
            loaded = pool.load(self.subject.model, plan, lambda _: None, kind)
            if placement.endswith("-plain"):
                _without_stream(loaded.pipe)
            load_s, allocated = clock() - started, _allocated()
            peak.loaded()
            encoded = [encode(loaded.pipe, self.asked) for _ in range(2)][-1]
            run = self.run(loaded.pipe, encoded, 3)
        needs = needs_of(
            plan, self.subject.model, width=self.asked.width, height=self.asked.height,
            sequence_length=self.asked.sequence_length, catalog=self.subject.catalog,
        )  # fmt: skip
        predicted = needs.offload_bytes if kind == "model-offload" else needs.group_bytes
        self.book.add(
            "offload",
            plan=text,
            placement=placement,
            load_s=load_s,
            allocated_bytes=allocated,
            load_peak_bytes=peak.load_bytes,
            run_peak_bytes=peak.run_bytes,
            predicted_peak_bytes=predicted,
            peak_error=(peak.run_bytes or 0) / predicted - 1,
            encode_s=encoded.seconds,
            steps=3,
            total_s=run.total_s,
            step_s=run.step_s,
            decode_s=run.decode_s,
        )

    def run(self, pipe: Any, encoded: Encoded, steps: int) -> Any:
        """An image of a few steps."""
        asked = replace(self.asked, steps=steps)
        return generate(pipe, asked, encoded, on_step=lambda _: None, stop=threading.Event())


def _without_stream(pipe: Any) -> None:
    """Group offload once more, without a second stream."""
    place = load("quantlab.lab.load.place")
    modules = place.modules_of(pipe)
    place.clear(modules)
    place.apply(pipe, "group-offload", device(), {"offload_type": "leaf_level"})


def _allocated() -> int | None:
    return int(torch().cuda.memory_allocated()) if device() == "cuda" else None


def _there(values: Mapping[str, Any]) -> dict[str, Any]:
    tensor = torch().Tensor
    return {n: v.to(device()) if isinstance(v, tensor) else v for n, v in values.items()}
