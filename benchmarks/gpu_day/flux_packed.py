"""GGUF's Q8_0, Q4_0 and Q4_K made on the device, since packing takes minutes for a full FLUX.

Layouts as in ggml (https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c): blocks of 32
numbers, a 16-bit scale in front of 32 bytes or of 16 bytes of two 4-bit numbers; Q4_K: blocks of
256, two 16-bit scales in front of 140 bytes. Q4_K is filled with random bytes, which take the time
of packed weights but are not these weights: no distance is told of it.
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

PACKED = {"gguf-q8_0": "Q8_0", "gguf-q4_0": "Q4_0", "gguf-q4_k": "Q4_K"}
BLOCK, LONG_BLOCK = 32, 256
LONG_BYTES = 144
SMALL = 2e-4
"""A scale that keeps random numbers of Q4_K about as large as weights are."""


def packed(bench: Bench, scheme: str, more: list[str]) -> None:
    """The bf16 transformer with its Linear weights packed: bytes, the peak, the step, ``more``."""
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
    told: dict[str, Any] = {"rel_l2": None} if PACKED[scheme] == "Q4_K" else {}
    bench.step(plan, transformer, "eager", **told)
    if "compiled" in more:
        bench.compiled(plan, loaded, **told)


def _pack(model: Any, scheme: str) -> Any:
    """Put packed Linear layers in the place of ``model``'s, as reading a GGUF file leaves them."""
    utils = load("diffusers.quantizers.gguf.utils")
    for name, linear in list(model.named_modules()):
        if not isinstance(linear, torch().nn.Linear) or linear.in_features % BLOCK:
            continue
        kind = PACKED[scheme]
        if kind == "Q4_K" and linear.in_features % LONG_BLOCK:
            kind = "Q8_0"  # as files have it
        quant_type = load("gguf").GGMLQuantizationType[kind]
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
    if kind == "Q4_K":
        shape = (weight.shape[0], weight.shape[1] // LONG_BLOCK, LONG_BYTES)
        blocks = t.randint(0, 256, shape, dtype=t.uint8, device=weight.device)
        blocks[..., :4] = t.full((2,), SMALL, dtype=t.float16, device=weight.device).view(t.uint8)
        return blocks.reshape(weight.shape[0], -1)
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
