"""What is measured with: a clock, a count of stored bytes, a check of what was asked for.

Peak memory and fidelity are in test_measure.py.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.bench.run import encode, generate
from quantlab.lab.device import Device
from quantlab.lab.load.weights import stored_bytes
from quantlab.lab.ways.bfl import write_bfl
from quantlab.lab.ways.bitsandbytes import quantize_with_bitsandbytes
from quantlab.lab.ways.hqq import quantize_with_hqq
from quantlab.words.comparison import Comparison
from tests.device import DEVICE

INPUTS, OUTPUTS = 256, 512
N = INPUTS * OUTPUTS
ROW_SCALES = OUTPUTS * 4
"""Bytes of one fp32 scale for each output."""


# Bytes: one layer of 512 x 256 weights, quantized by each library, worked out by hand


def _layer() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(INPUTS, OUTPUTS, bias=False))


def _bitsandbytes(**how: Any) -> torch.nn.Module:
    layer = _layer()
    quantize_with_bitsandbytes(layer, compute_dtype=torch.float32, **how)
    layer(torch.randn(2, INPUTS))  # the int8 layer moves its scales at the first call
    return layer


def _torchao(config: str) -> torch.nn.Module:
    import torchao.quantization

    layer = _layer()
    torchao.quantization.quantize_(layer, getattr(torchao.quantization, config)())
    return layer


def _quanto(kind: str) -> torch.nn.Module:
    import optimum.quanto

    layer = _layer()
    optimum.quanto.quantize(layer, weights=getattr(optimum.quanto, kind))
    optimum.quanto.freeze(layer)
    return layer


def _gguf(kind: str) -> torch.nn.Module:
    import gguf
    from diffusers.quantizers.gguf.utils import GGUFLinear, GGUFParameter

    quantized = gguf.GGMLQuantizationType[kind]
    values = gguf.quants.quantize(_layer()[0].weight.detach().numpy(), quantized)
    layer = GGUFLinear(INPUTS, OUTPUTS, bias=False, compute_dtype=torch.float32)
    layer.weight = GGUFParameter(torch.from_numpy(values), quant_type=quantized)
    return layer


def _sdnq(kind: str) -> torch.nn.Module:
    from sdnq.quantizer import sdnq_post_load_quant

    quantized: torch.nn.Module = sdnq_post_load_quant(
        _layer(), weights_dtype=kind, torch_dtype=torch.float32
    )
    return quantized


def _layerwise() -> torch.nn.Module:
    from diffusers.hooks import apply_layerwise_casting

    layer = _layer()
    apply_layerwise_casting(layer, torch.float8_e4m3fn, torch.float32, skip_modules_pattern=())
    return layer


def _hqq(nbits: int) -> torch.nn.Module:
    from hqq.core.quantize import BaseQuantizeConfig

    layer = _layer()
    config = BaseQuantizeConfig(nbits=nbits, group_size=64, axis=1)
    quantize_with_hqq(layer, config, compute_dtype=torch.float32, device="cpu")
    return layer


def _bfl(kind: str) -> torch.nn.Module:
    """What the file of one layer holds, in the layer that diffusers reads it into."""
    from diffusers.quantizers.bfl import utils
    from safetensors.torch import load_file, save_file

    layer = {"FP8": utils.BFLFP8RLinear, "NVFP4": utils.BFLNVFP4Linear}[kind]
    read = torch.nn.Sequential(layer(INPUTS, OUTPUTS, bias=False, compute_dtype=torch.float32))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
        save_file(_layer().state_dict(), Path(folder) / "layer.safetensors")
        write_bfl(folder, f"{out}/written.safetensors", kind)
        read.load_state_dict(load_file(f"{out}/written.safetensors"))
    return read


BLOCKS = N // 64
BY_HAND: dict[str, tuple[Callable[[], torch.nn.Module], int]] = {
    # Half a byte a weight, an fp32 scale for each 64 of them, and the code book of 16.
    "bnb-nf4": (_bitsandbytes, N // 2 + BLOCKS * 4 + 16 * 4),
    # The scales once more in 8 bits: an fp32 for each 256, their code book, and their mean.
    "bnb-nf4-dq": (
        lambda: _bitsandbytes(bnb_4bit_use_double_quant=True),
        N // 2 + BLOCKS + BLOCKS // 256 * 4 + 256 * 4 + 4 + 16 * 4,
    ),
    "bnb-int8": (lambda: _bitsandbytes(load_in_8bit=True), N + ROW_SCALES),
    # An int8 zero point for each row too.
    "torchao-int8wo": (lambda: _torchao("Int8WeightOnlyConfig"), N + ROW_SCALES + OUTPUTS),
    "torchao-fp8wo": (lambda: _torchao("Float8WeightOnlyConfig"), N + ROW_SCALES),
    # A layer also keeps the scales of its input and its output.
    "quanto-int8": (lambda: _quanto("qint8"), N + ROW_SCALES + 2 * 4),
    "quanto-fp8": (lambda: _quanto("qfloat8"), N + ROW_SCALES + 2 * 4),
    # Scale and shift in fp32 for each 128 weights.
    "quanto-int4": (lambda: _quanto("qint4"), N // 2 + N // 128 * 8 + 2 * 4),
    # 32 weights with an fp16 scale: 18 and 34 bytes.
    "gguf-q4_0": (lambda: _gguf("Q4_0"), N // 32 * 18),
    "gguf-q8_0": (lambda: _gguf("Q8_0"), N // 32 * 34),
    "sdnq-int8": (lambda: _sdnq("int8"), N + ROW_SCALES),
    # Scale and zero point in fp32 for each 64 weights.
    "sdnq-uint4": (lambda: _sdnq("uint4"), N // 2 + N // 64 * 8),
    # Scale and zero point in the compute dtype for each 64 weights.
    "hqq-int8": (lambda: _hqq(8), N + BLOCKS * 2 * 4),
    "hqq-int4": (lambda: _hqq(4), N // 2 + BLOCKS * 2 * 4),
    # Ten numbers of 3 bits an int32, the groups filled up to a multiple of ten.
    "hqq-int3": (lambda: _hqq(3), -(-BLOCKS // 10) * 64 * 4 + BLOCKS * 2 * 4),
    "bfl-fp8": (lambda: _bfl("FP8"), N + ROW_SCALES),
    # A float8 scale for each 16 weights, and one fp32 for all of them and one for the input.
    "bfl-nvfp4": (lambda: _bfl("NVFP4"), N // 2 + N // 16 + 2 * 4),
    "layerwise-fp8": (_layerwise, N),
}


@pytest.mark.parametrize("scheme", BY_HAND)
def test_the_tensors_of_each_library_are_counted_to_the_byte(scheme: str) -> None:
    make, expected = BY_HAND[scheme]
    assert stored_bytes(make()) == expected


def test_every_library_that_runs_here_is_among_them() -> None:
    catalog, machine = load_catalog(), this_machine()
    schemes, model = catalog.schemes, catalog.models["flux-mini"]
    some = (s for s in schemes.values() if s.on_cpu != "no" and s.loadable)
    on_cpu = {s.method for s in some if here(s, catalog.methods[s.method], machine, model) == "ok"}
    assert {schemes[scheme].method for scheme in BY_HAND} == on_cpu


# The clock


@dataclasses.dataclass(frozen=True)
class _Watch(Device):
    """A device whose clock moves only when it is told to."""

    now: list[float] = dataclasses.field(default_factory=lambda: [0.0])

    def clock(self) -> float:
        return self.now[0]


class _Sleepy:
    """A pipeline that does nothing but let time pass on its device's clock."""

    config: Mapping[str, Any] = {}

    def __init__(self, watch: _Watch) -> None:
        self.watch = watch
        self.transformer, self.vae = torch.nn.Identity(), torch.nn.Identity()
        self.transformer.register_forward_hook(lambda *_: (torch.zeros(1),))

    def _sleep(self, seconds: float) -> None:
        self.watch.now[0] += seconds

    def encode_prompt(self, **_: Any) -> tuple[torch.Tensor, torch.Tensor, None]:
        self._sleep(0.2)
        return torch.zeros(1), torch.zeros(1), None

    def __call__(
        self,
        *,
        num_inference_steps: int,
        callback_on_step_end: Any,
        **_: Any,
    ) -> Any:
        for step in range(num_inference_steps):
            self._sleep(0.2)
            self.transformer(torch.zeros(1))
            callback_on_step_end(self, step, step, {"latents": torch.zeros(1)})
        self._sleep(0.3)
        return SimpleNamespace(images=[Image.new("RGB", (8, 8))])


def test_the_time_of_each_part_of_a_run_is_its_own() -> None:
    device = _Watch(**vars(DEVICE))
    pipe: Any = type("FluxPipeline", (_Sleepy,), {})(device)  # its class tells the family
    comparison = make_comparison(plans=["fp32"], prompt="a", steps=3)
    encoded = encode(pipe, comparison, device)
    run = generate(
        pipe, comparison, encoded, device, on_step=lambda _: None, stop=threading.Event()
    )
    assert encoded.seconds == pytest.approx(0.2)
    assert run.step_s == pytest.approx(0.2)
    assert run.decode_s == pytest.approx(0.3)
    assert run.total_s == pytest.approx(0.9)


# What was asked for, and what was run


@pytest.mark.parametrize("label", ["torchao-fp8wo", "quanto-fp8", "layerwise-fp8"])
def test_an_fp8_that_is_nf4_is_a_failure_and_not_a_number(label: str, tmp_path: Path) -> None:
    catalog = load_catalog()
    nf4 = catalog.schemes["bnb-nf4"]
    real = catalog.schemes[label]
    lie = dataclasses.replace(nf4, id=label, holds=real.holds)
    wrong = dataclasses.replace(catalog, schemes={**catalog.schemes, label: lie})
    (outcome,) = compare(_one(label), bench=Bench(wrong, DEVICE), out=tmp_path, warmup=0)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.stage) == ("failed", "verify")
    assert f"asked for in {label}" in outcome.error.message
    assert "Params4bit" in outcome.error.message
    assert outcome.latency_s == ()
    assert not list(tmp_path.iterdir())


def _one(plan: str) -> Comparison:
    return make_comparison(plans=[plan], prompt="a fox", steps=1)
