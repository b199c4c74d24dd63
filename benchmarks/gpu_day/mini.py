"""flux-mini through ``compare`` with every scheme, the placements, a LoRA, and memory run out."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.gpu_day.book import Book
from quantlab.catalog.comparison import make_comparison, parse_plan
from quantlab.catalog.sizes.predict import predict
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.fidelity import compare_images, image_array
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.device import this_device
from quantlab.lab.libraries import torch
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Event, Finished

__all__ = ["items", "prepared"]

PROMPT = "a fox on a white background"
STEPS = {"full": 8, "mini": 1}
TOGETHER = 5
"""Plans of one process."""
BUILT = ("quanto-int4", "quanto-int2")
"""Their kernels are built first, which takes minutes."""
COMPILED = tuple(
    f"{scheme}@compiled"
    for scheme in ("fp32", "bf16", "bnb-nf4", "torchao-int8wo", "torchao-fp8dq")
)
BOTH = tuple(f"transformer={scheme},text_encoder_2={scheme}" for scheme in ("bnb-nf4", "sdnq-int8"))
LORA: dict[str, tuple[str, ...]] = {
    "lora-a": ("bf16", "bnb-nf4", "bnb-int8", "torchao-int8wo", "torchao-fp8dq"),
    "lora-b": ("gguf-q8_0", "gguf-q4_0", "quanto-int8", "sdnq-int8", "layerwise-fp8"),
}
PLACED = (
    *("fp32", "bf16", "bnb-nf4", "bnb-nf4-dq", "bnb-int8", "layerwise-fp8", "gguf-q8_0"),
    *("gguf-q4_0", "torchao-int8wo", "torchao-fp8wo", "torchao-fp8dq", "quanto-int8"),
    *("quanto-fp8", "sdnq-int8", "sdnq-uint4", "gguf-q4_k", "bfl-fp8", "torchao-nf4"),
    *("sdnq-int8-hadamard", "torchao-int8dq"),
)
LIMIT = 100 * 2**20
"""Bytes that are allowed where memory is to run out: flux-mini fits quantized, not in fp32, on CUDA
beside the 32 MiB that cuBLAS takes (Hopper)."""
KINDS = ("resident", "model-offload", "group-offload")


def _groups() -> dict[str, tuple[str, ...]]:
    """Plans by group, the fp32 reference first in all of them: every scheme that is made here."""
    schemes = [
        scheme
        for scheme in load_catalog().schemes.values()
        if (scheme.on_cpu != "no" or scheme.id == "torchao-int4wo") and scheme.id not in BUILT
    ]
    names = [s.id for s in schemes if s.id != "torchao-int4wo-cpu" and not s.id.startswith("mix-")]
    encoders = [
        f"text_encoder_2={s.id}"
        for s in schemes
        if s.id in names and (s.transformers or s.library_way)
    ]
    found = {"built": BUILT, "compiled": COMPILED}
    for title, plans in (("one", ["bf16", *names]), ("encoder", [*encoders, *BOTH])):
        count = -(-len(plans) // TOGETHER)
        found |= {f"{title}-{start}": tuple(plans[start::count]) for start in range(count)}
    return found


def items(scale: str) -> tuple[str, ...]:
    """Names of the groups of plans."""
    if scale == "mini":
        return ("one-0", "lora-b", "placed:fp32")
    last = ("memory", "built")
    groups = (name for name in _groups() if name not in last)
    return (*groups, *LORA, *(f"placed:{plan}" for plan in PLACED), *last)


@contextmanager
def prepared(book: Book, scale: str) -> Iterator[Callable[[str], None]]:
    """Yields what runs one group."""
    with tempfile.TemporaryDirectory(prefix="gpu-day-") as name:

        def work(item: str) -> None:
            if item.startswith("placed:"):
                _placed(book, item.partition(":")[2], STEPS[scale])
            elif item == "memory":
                _memory(book, Path(name))
            else:
                plans = (_groups() | LORA)[item][: 1 if scale == "mini" else None]
                lora = "mono" if item in LORA else None
                _compare(book, plans, lora, STEPS[scale], Path(name))

        yield work


def _compare(
    book: Book, plans: tuple[str, ...], lora: str | None, steps: int, folder: Path
) -> None:
    asked = make_comparison(plans=["fp32", *plans], prompt=PROMPT, steps=steps, lora=lora)

    def note(event: Event) -> None:
        if isinstance(event, Finished):
            row = event.outcome.as_dict()
            row |= {"image": None, "width": asked.width, "steps": steps, "lora": lora}
            row |= _predicted(asked, row["plan"], sum(event.outcome.weights_bytes.values()))
            book.add("outcome", **row)

    bench = Bench(load_catalog(), this_device())
    compare(asked, bench=bench, out=folder, report=note, repeats=2, warmup=1)


def _predicted(asked: Comparison, plan: str, stored: int) -> dict[str, Any]:
    model = load_catalog().models[asked.model]
    needs = predict(
        asked.model, parse_plan(plan, model), width=asked.width, height=asked.height,
        sequence_length=asked.sequence_length,
    )  # fmt: skip
    return {
        "predicted_bytes": needs.component_bytes,
        "predicted_peak_bytes": needs.peak_bytes,
        "weights_error": stored / needs.total_bytes - 1 if stored else None,
    }


def _placed(book: Book, text: str, steps: int) -> None:
    """One plan in every placement that the device has; the image is held against the first."""
    asked = make_comparison(plans=[text], prompt=PROMPT, steps=steps)
    plan = asked.plans[0]
    first: Any = None
    device = this_device()
    for kind in ("cpu",) if device.is_cpu else KINDS:
        try:
            pixels = _image(asked, Bench(load_catalog(), device), kind)
        except Exception as error:  # whatever a backend raises is the row
            said = f"{type(error).__name__}: {str(error)[:300]}"
            book.add("placed", plan=str(plan), placement=kind, reason=said)
            return
        first = pixels if first is None else first
        psnr = compare_images(pixels, first).get("psnr_db")
        same = bool((pixels == first).all())
        book.add("placed", plan=str(plan), placement=kind, same=same, psnr_db=psnr)


def _image(asked: Comparison, bench: Bench, kind: str) -> Any:
    model = load_catalog().models[asked.model]
    pipe = bench.pool.load(model, asked.plans[0], lambda _: None, kind).pipe
    device, stop = bench.pool.device, threading.Event()
    encoded = encode(pipe, asked, device)
    run = generate(pipe, asked, encoded, device, on_step=lambda _: None, stop=stop)
    return image_array(run.image)


def _memory(book: Book, folder: Path) -> None:
    """Memory runs out in the middle of a comparison: a row with a hint, and the next plan runs."""
    device = this_device()
    if device.target != "cuda":
        return
    total = torch().cuda.mem_get_info()[1]
    torch().cuda.set_per_process_memory_fraction(LIMIT / total)
    asked = make_comparison(
        plans=["fp32", "bnb-nf4"], prompt=PROMPT, steps=2, width=256, height=256
    )
    for outcome in compare(asked, bench=Bench(load_catalog(), device), out=folder, warmup=0):
        book.add("memory", limit_bytes=LIMIT, **outcome.as_dict())
    torch().cuda.set_per_process_memory_fraction(1.0)
