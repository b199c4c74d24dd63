"""FLUX.1-dev by shape at full size: bytes and peaks against the predictions, seconds of a step.

Random weights in a folder in memory, loaded as people's weights are. An item is a plan and, after
"+", what is tried with it: "compiled", "sizes", "parts" (encoders and autoencoder) or a placement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.flux_shaped.model import shaped
from benchmarks.gpu_day.book import Book
from benchmarks.gpu_day.flux_bench import Bench
from benchmarks.gpu_day.flux_offload import offloaded
from benchmarks.gpu_day.flux_packed import PACKED, packed
from quantlab.catalog.comparison import parse_plan
from quantlab.lab.device import this_device
from quantlab.lab.libraries import torch

__all__ = ["items", "prepared"]

MODEL = "flux1-dev"
BOTH = "transformer={0},text_encoder_2={0}"
FULL = (
    "bf16+parts+compiled",
    "bnb-nf4+compiled",
    "gguf-q8_0+compiled",
    "sdnq-int8",
    "layerwise-fp8+compiled",
    "quanto-int8",
    "bnb-int8",
    "bf16+model-offload",
    "hqq-int4+compiled",
    "gguf-q4_k+compiled",
    "sdnq-uint4",
    "torchao-fp8dq+compiled",
    "torchao-int8dq+compiled",
    "gguf-q4_0",
    BOTH.format("bnb-nf4") + "+parts",
    "sdnq-int8-hadamard",
    "torchao-fp8wo+compiled",
    "bnb-nf4+model-offload",
    "sdnq-int8-matmul",
    "torchao-int8wo",
    BOTH.format("torchao-int8wo") + "+parts",
    "bf16+group-offload",
    "quanto-fp8",
    "torchao-nf4",
    BOTH.format("quanto-int8") + "+parts",
    "bf16+group-offload-plain",
    "torchao-int4wo",
    "bf16+sizes",
    "bnb-nf4+sizes",
)
"""In the order of their worth."""


def items(scale: str) -> tuple[str, ...]:
    """Plans, each with what is tried."""
    return FULL if scale == "full" else ("bf16+parts", "torchao-int8wo", "gguf-q8_0")


@contextmanager
def prepared(book: Book, scale: str) -> Iterator[Callable[[str], None]]:
    """Builds the weights, loads the parts that the plans share, yields what tries an item."""
    device = this_device()
    started = device.clock()
    with shaped(MODEL, scale) as subject:
        book.add("built", seconds=device.clock() - started)
        started = device.clock()
        bench = Bench(book, subject)
        book.add("shared", seconds=device.clock() - started)
        yield lambda item: _work(bench, item)


def _work(bench: Bench, item: str) -> None:
    """Try one item; nothing of its transformer stays."""
    text, *more = item.split("+")
    placement = next((name for name in more if "offload" in name), None)
    try:
        if placement:
            offloaded(bench, text, placement)
        elif text in PACKED:
            packed(bench, text, more)
        else:
            bench.resident(parse_plan(text, bench.model, bench.subject.catalog), more)
    finally:
        torch().compiler.reset()
        bench.clear()
