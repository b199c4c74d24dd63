"""The transformers of this year's models by shape: bytes, seconds of a step, what it adds.

FLUX.3 Image Klein, FLUX.2-klein-4B and Z-Image-Turbo at 1024 x 1024 with 512 tokens of text, random
weights made on the device, quantized where they are by bitsandbytes' and torchao's own calls.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks.gpu_day.book import Book
from benchmarks.gpu_day.clocks import compile_blocks, each, wall
from benchmarks.gpu_day.flux_bench import allocated
from quantlab.catalog.sizes.shapes import config_of
from quantlab.lab.device import this_device
from quantlab.lab.libraries import load, resolve, torch
from quantlab.lab.load.weights import stored_bytes

__all__ = ["items", "prepared"]

NAMES = ("flux3-klein", "flux2-klein-4b", "z-image-turbo")
SCHEMES = ("bf16", "bnb-nf4", "torchao-fp8dq")
SIDE, TOKENS = {"full": 1024, "mini": 128}, {"full": 512, "mini": 32}
SMALL: dict[str, dict[str, Any]] = {
    "flux3-klein": {
        "num_layers": 1, "num_single_layers": 2, "num_attention_heads": 2,
        "joint_attention_dim": 512,
    },
    "flux2-klein-4b": {
        "num_layers": 1, "num_single_layers": 2, "num_attention_heads": 2,
        "joint_attention_dim": 192,
    },
    "z-image-turbo": {
        "n_layers": 2, "n_refiner_layers": 1, "dim": 256, "n_heads": 2, "n_kv_heads": 2,
        "cap_feat_dim": 64,
    },
}  # fmt: skip
REPEATS = 4


def items(scale: str) -> tuple[str, ...]:
    """Model and scheme, the most wanted first."""
    if scale == "mini":
        return tuple(f"{name}:bf16" for name in NAMES)
    eager = [f"{name}:{scheme}" for scheme in SCHEMES for name in NAMES]
    return tuple(f"{item}{more}" for more in ("", "+compiled") for item in eager)


@contextmanager
def prepared(book: Book, scale: str) -> Iterator[Callable[[str], None]]:
    """Yields what measures one model in one scheme, eager and compiled."""

    def work(item: str) -> None:
        text, _, mode = item.partition("+")
        name, _, scheme = text.partition(":")
        try:
            _measure(book, name, scheme, mode or "eager", scale)
        finally:
            torch().compiler.reset()
            gc.collect()
            this_device().counters.release()

    yield work


def _measure(book: Book, name: str, scheme: str, mode: str, scale: str) -> None:
    model = _quantized(_model(name, SMALL[name] if scale == "mini" else {}), scheme)
    inputs = _inputs(name, model, SIDE[scale], TOKENS[scale])

    def step() -> object:
        with torch().no_grad():
            return model(**inputs, return_dict=False)

    if mode == "compiled":
        compile_blocks(model, scheme)
    first_s = wall(step)
    wall(step)
    before = allocated()
    this_device().counters.start()
    seconds = each(step, REPEATS)
    book.add(
        "step",
        model=name,
        scheme=scheme,
        mode=mode,
        width=SIDE[scale],
        tokens=TOKENS[scale],
        weights_bytes=stored_bytes(model),
        step_s=median(seconds),
        all_s=[round(value, 5) for value in seconds],
        first_s=first_s,
        step_adds_bytes=None if before is None else this_device().counters.peak_bytes() - before,
    )


def _model(name: str, small: dict[str, Any]) -> Any:
    """The transformer in bf16 with Gaussian Linear weights, as shaped_model.py draws them."""
    t = torch()
    config: dict[str, Any] = {"flow_map": True}
    cls = "Flux3Transformer2DModel"
    if name == "flux2-klein-4b":
        cls = "Flux2Transformer2DModel"
        config = dict(config_of("denoisers/flux2-klein-4b"))
    elif name == "z-image-turbo":
        cls, config = "ZImageTransformer2DModel", {}
    before = t.get_default_dtype()
    t.set_default_dtype(t.bfloat16)
    try:
        with t.device(this_device().target):
            model = resolve(f"diffusers.{cls}").from_config(config | small)
    finally:
        t.set_default_dtype(before)
    for layer in model.modules():
        if isinstance(layer, t.nn.Linear):
            t.nn.init.normal_(layer.weight, std=(3 * layer.in_features) ** -0.5)
    return model.to(t.bfloat16).eval()


def _inputs(name: str, model: Any, side: int, tokens: int) -> dict[str, Any]:
    """What the pipeline hands to the transformer for one image, without guidance."""
    t = torch()
    kind = {"device": this_device().target, "dtype": t.bfloat16}
    if name == "z-image-turbo":
        return {
            "x": [t.randn(16, 1, side // 8, side // 8, **kind)],
            "t": t.full((1,), 0.5, device=this_device().target),
            "cap_feats": [t.randn(tokens, model.config.cap_feat_dim, **kind)],
        }
    image = (side // 16) ** 2
    ids = t.zeros(image + tokens, 4, device=this_device().target)
    ids[:image, 1] = t.arange(image, device=this_device().target) // (side // 16)
    ids[:image, 2] = t.arange(image, device=this_device().target) % (side // 16)
    ids[image:, 3] = t.arange(tokens, device=this_device().target)
    inputs = {
        "hidden_states": t.randn(1, image, model.config.in_channels, **kind),
        "encoder_hidden_states": t.randn(1, tokens, model.config.joint_attention_dim, **kind),
        "timestep": t.full((1,), 0.5, **kind),
        "img_ids": ids[:image],
        "txt_ids": ids[image:],
    }
    if name == "flux3-klein":
        inputs["target_timestep"] = t.full((1,), 0.4, **kind)
    return inputs


KEPT = ("proj_out", "all_final_layer.2-1.linear")
"""Stay in bf16: what leaves a FLUX.3 without a float parameter confuses its pipeline."""


def _quantized(model: Any, scheme: str) -> Any:
    """``model`` in ``scheme``, all Linear layers but those of ``KEPT``."""
    t = torch()
    if scheme == "bnb-nf4":
        bnb = load("bitsandbytes")
        for name, linear in list(model.named_modules()):
            if not isinstance(linear, t.nn.Linear) or name in KEPT:
                continue
            layer = bnb.nn.Linear4bit(
                linear.in_features, linear.out_features, linear.bias is not None,
                compute_dtype=t.bfloat16, quant_type="nf4", device="meta",
            )  # fmt: skip
            layer.weight = bnb.nn.Params4bit(
                linear.weight.data.cpu(), requires_grad=False, quant_type="nf4"
            )
            layer.bias = linear.bias
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, layer.to(this_device().target).eval())
    elif scheme == "torchao-fp8dq":
        api = load("torchao.quantization")
        config = api.Float8DynamicActivationFloat8WeightConfig(set_inductor_config=False)
        api.quantize_(
            model, config, lambda m, name: isinstance(m, t.nn.Linear) and name not in KEPT
        )
    return model
