"""GGUF's Q8_0 and Q4_0 made on the device, since numpy takes minutes for a full FLUX.

Layouts as in ggml (https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c): blocks of 32
numbers, a 16-bit scale in front of 32 bytes or of 16 bytes of two 4-bit numbers.
"""

from __future__ import annotations

import gc
from typing import Any

from benchmarks.gpu_day.flux_bench import Bench
from quantlab.catalog.comparison import parse_plan
from quantlab.lab.bench.measure import PeakMemory
from quantlab.lab.device import this_device
from quantlab.lab.libraries import load, torch
from quantlab.lab.load.weights import stored_bytes

__all__ = ["PACKED", "packed"]

PACKED = {"gguf-q8_0": "Q8_0", "gguf-q4_0": "Q4_0"}
BLOCK = 32


def packed(bench: Bench, scheme: str) -> None:
    """The bf16 transformer with its Linear weights packed: bytes, the peak, the step."""
    loaded = bench.pool.load(bench.model, bench.base, lambda _: None)
    plan = parse_plan(scheme, bench.model, bench.subject.catalog)
    transformer = _pack(loaded.pipe.transformer, scheme)
    gc.collect()
    device = this_device()
    device.counters.release()
    needs, stored = bench.needs(plan), stored_bytes(transformer)
    predicted = needs.component_bytes["transformer"]
    with PeakMemory(device.counters) as peak:
        peak.loaded()
        bench.image(loaded.pipe, bench.asked)
    bench.book.add(
        "plan",
        plan=scheme,
        weights_bytes={"transformer": stored},
        predicted_bytes={"transformer": predicted},
        weights_error=stored / predicted - 1,
        **bench.peaks(peak, needs.peak_bytes),
    )
    bench.step(plan, transformer, "eager")


def _pack(model: Any, scheme: str) -> Any:
    """Put packed Linear layers in the place of ``model``'s, as reading a GGUF file leaves them."""
    kind = PACKED[scheme]
    utils = load("diffusers.quantizers.gguf.utils")
    quant_type = load("gguf").GGMLQuantizationType[kind]
    for name, linear in list(model.named_modules()):
        if not isinstance(linear, torch().nn.Linear) or linear.in_features % BLOCK:
            continue
        rows = _bytes(linear.weight.data, kind)
        layer = utils.GGUFLinear(
            BLOCK, BLOCK, False, compute_dtype=torch().bfloat16, device=torch().device("meta")
        )
        layer.in_features, layer.out_features = linear.in_features, linear.out_features
        layer.weight = utils.GGUFParameter(rows, quant_type=quant_type)
        layer.bias = linear.bias
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer)
    return model


def _bytes(weight: Any, kind: str) -> Any:
    """``weight`` (rows, columns) as uint8 of (rows, bytes of a row)."""
    t = torch()
    blocks = weight.float().reshape(weight.shape[0], -1, BLOCK)
    if kind == "Q8_0":
        scale = blocks.abs().amax(-1, keepdim=True) / 127
        whole = (blocks / scale).round_().to(t.int8).view(t.uint8)
    else:
        most = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
        scale = most / -8
        low, high = ((blocks / scale + 8.5).clamp_(0, 15).to(t.uint8)).chunk(2, -1)
        whole = low | (high << 4)
    head = scale.to(t.float16).view(t.uint8)
    return t.cat([head, whole], -1).reshape(weight.shape[0], -1)
