"""Seconds of one call from first principles: what is computed, what is moved, what is waited for.

A pass of a transformer over S tokens of width d, with L blocks and N weights:

    products    FLOPs of the linear layers, and 4 S^2 d L of attention, over the rate of products;
                a layer takes no less than reading its weights once does
    softmax     S^2 exponentials a head and block, over the rate of the special function units
    the rest    norms, rotations, gates: so many passes over (S x d) a block, through the memory,
                less what the L2 cache takes
    unpacking   so many bytes a weight, by the scheme's timing class
    launching   milliseconds a block of the host, which the card waits for where it is faster: the
                root of the sum of squares, since a part of each pass is bound by either

The rate of products is the card's measured one, else its datasheet's times what like cards reach;
chips that are not held back reach less of it in the layers of a model than in one large product.
Special function units: 16 exponentials a clock and multiprocessor, where chips of compute
capability 8.6 and later have 128 lanes of fp32 and earlier ones 64, so fp32 peaks give their rate.

The form was first written down by looking at published rows of FLUX.1; that it holds for other
transformers is tried in ``benchmarks.latency``. Not known to it: power limits of laptops, other
attention kernels than PyTorch's own, caches between steps, other work on the card.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from quantlab.catalog.time.constants import Constants, Cost, General
from quantlab.catalog.time.values import Card, Denoiser, Encoder, Mode, Parts, Placement, Run, Work
from quantlab.errors import InputError

__all__ = [
    "DECODE_FLOPS",
    "Chip",
    "attention_flops",
    "chip_of",
    "decode_seconds",
    "encode_seconds",
    "floor_seconds",
    "limited",
    "linear_flops",
    "move_seconds",
    "parts",
    "pass_seconds",
    "rate16",
]

TERA, GIGA, MEBI = 1e12, 1e9, 2**20

DECODE_FLOPS = 9.46e6
"""FLOPs a pixel of the decoder that FLUX.1, FLUX.2, SD3 and Z-Image share, counted from its
convolutions; an encoder of the same kind takes half."""

FULL_RATIO = {7: 8.0, 8: 4.0, 9: 14.8, 10: 28.0, 12: 4.0}
"""16-bit products over fp32 of a chip that is not held back, by major compute capability; the
A100's and A30's, (8, 0), is 16. From the datasheets in data/gpus."""

WAYS = {Placement.STAGED: 1, Placement.MODEL_OFFLOAD: 2}
"""How often weights cross the bus for an image; else they stay where they are."""

L2_STEEPNESS = 3
"""How fast the L2 cache stops helping where tensors outgrow it; the fit hardly feels it."""


@dataclass(frozen=True)
class Chip:
    """A card all of whose needed figures are known: operations, bytes a second, bytes."""

    capability: tuple[int, int]
    peak16: float
    fp32: float
    memory: float
    l2: float
    pcie: float | None
    matmul16: float | None
    eight: dict[str, float]
    """Rates of 8-bit products that the chip has, by ``Cost.rate``."""
    bf16_native: bool


@lru_cache(maxsize=256)
def chip_of(card: Card) -> Chip | None:
    """The figures of ``card``, or None where one that every prediction needs is not known."""
    if not (card.capability and card.peak16_tflops and card.fp32_tflops):
        return None
    if not (card.bandwidth_gbs and card.l2_mb):
        return None
    eight = {"fp8": card.peak_fp8_tflops, "int8": card.peak_int8_tops}
    return Chip(
        capability=card.capability,
        peak16=card.peak16_tflops * TERA,
        fp32=card.fp32_tflops * TERA,
        memory=card.bandwidth_gbs * GIGA,
        l2=card.l2_mb * MEBI,
        pcie=card.pcie_gbs * GIGA if card.pcie_gbs else None,
        matmul16=card.matmul16_tflops * TERA if card.matmul16_tflops else None,
        eight={name: rate * TERA for name, rate in eight.items() if rate},
        bf16_native=card.bf16_native,
    )


def rate16(chip: Chip, general: General, dtype: str = "bf16") -> float:
    """FLOP/s of a large 16-bit product."""
    share = general.matmul_limited if limited(chip) else general.matmul_full
    rate = chip.matmul16 or chip.peak16 * share
    return rate if chip.bf16_native or dtype != "bf16" else rate * general.emulated_bf16


def limited(chip: Chip) -> bool:
    """Whether fp32 accumulation runs below the rate of the matrix units, as on GeForce."""
    full = 16.0 if chip.capability == (8, 0) else FULL_RATIO.get(chip.capability[0], 4.0)
    return chip.peak16 / chip.fp32 < 0.7 * full


def linear_flops(work: Work, denoiser: Denoiser) -> float:
    """FLOPs of the linear layers in one pass, of all samples of the batch."""
    one = denoiser.streams
    image, extra = work.image_tokens, work.reference_tokens
    if not one.reference:
        image += extra
    weighed = (
        one.image * image
        + one.text * work.text_tokens
        + one.reference * extra
        + one.both * _tokens(work)
        + one.vector
    )
    return 2.0 * weighed * work.batch


def attention_flops(work: Work, denoiser: Denoiser) -> float:
    """FLOPs of both products of attention in one pass, of all samples of the batch."""
    inner = denoiser.heads * denoiser.head_dim
    return 4.0 * _tokens(work) ** 2 * inner * denoiser.blocks * work.batch


def pass_seconds(
    work: Work, denoiser: Denoiser, chip: Chip, run: Run, cost: Cost, general: General
) -> float:
    """Seconds of one pass of the denoiser."""
    rate = rate16(chip, general, run.dtype) * (1 if limited(chip) else general.reach_full)
    weights, vector = _weights(work, denoiser), denoiser.streams.vector
    modulation = 2.0 * vector / chip.memory  # one vector a sample: all of it is reading
    linear = linear_flops(work, denoiser) / (rate * _faster(chip, cost)) * cost.slower
    products = modulation + max(linear, 2.0 * (weights - vector) / chip.memory)
    lanes = 256 if chip.capability >= (8, 6) else 128
    exponentials = _tokens(work) ** 2 * denoiser.heads * denoiser.blocks * work.batch
    softmax = general.softmax * exponentials / (chip.fp32 * 16 / lanes)
    attention = attention_flops(work, denoiser) / rate + softmax
    compiled = run.mode is Mode.COMPILED
    passes = general.passes_compiled if compiled else general.passes_eager
    rest = (passes + cost.passes) * denoiser.blocks * _tensor(work, denoiser) / chip.memory
    rest *= 1 - general.l2_saves * _held(work, denoiser, chip, general)
    busy = products + attention + rest + cost.bytes * weights / chip.memory
    launch = general.launch_ms_compiled if compiled else general.launch_ms_eager
    return math.hypot(busy, max(launch, cost.launch_ms) / 1000 * denoiser.blocks)


def parts(work: Work, chip: Chip, run: Run, constants: Constants) -> Parts:
    """The seconds of ``work`` by parts.

    Raises:
        InputError: there is no transformer, or no cost of the scheme in this mode.
    """
    cost = constants.classes[run.timing].costs.get(run.mode)
    if work.denoiser is None or cost is None:
        raise InputError("run", f"{run.timing} {run.mode} has no time that could be computed")
    general = constants.general
    one = pass_seconds(work, work.denoiser, chip, run, cost, general)
    return Parts(
        steps=one * work.passes * work.steps,
        encode=sum(encode_seconds(one, chip, run.dtype, constants) for one in work.encoders),
        decode=decode_seconds(work, chip, run.dtype, general),
        move=move_seconds(chip, run.placement, run.moved_bytes, general),
        rest=general.call_s,
    )


def decode_seconds(work: Work, chip: Chip, dtype: str, general: General) -> float:
    """Seconds of the autoencoder: all images of the call, and the pictures to go by."""
    flops = DECODE_FLOPS * (work.decoded_pixels + work.encoded_pixels / 2)
    return flops / (rate16(chip, general, dtype) * general.decode_rate)


def floor_seconds(work: Work, denoiser: Denoiser, chip: Chip, cost: Cost) -> float:
    """The time below which no card can be: its products at the highest rate known of it."""
    top = max(chip.peak16, chip.matmul16 or 0.0)
    linear = linear_flops(work, denoiser) / max(top, chip.eight.get(cost.rate, 0.0))
    attention = attention_flops(work, denoiser) / top
    return (linear + attention) * work.passes * work.steps


def _tokens(work: Work) -> int:
    return work.image_tokens + work.text_tokens + work.reference_tokens


def _weights(work: Work, denoiser: Denoiser) -> int:
    one = denoiser.streams
    used = one.both + one.image + one.text + one.vector
    return used + (one.reference if work.reference_tokens else 0)


def _tensor(work: Work, denoiser: Denoiser) -> float:
    """Bytes of one (tokens x width) tensor in 16 bit, of all samples."""
    return 2.0 * _tokens(work) * denoiser.width * work.batch


def _held(work: Work, denoiser: Denoiser, chip: Chip, general: General) -> float:
    """From 1 where the L2 cache holds the block's tensors down to 0 where it is far too small."""
    need = general.l2_tensors * _tensor(work, denoiser) / chip.l2
    return 1 / (1 + need**L2_STEEPNESS)


def _faster(chip: Chip, cost: Cost) -> float:
    """The rate of the scheme's products over that of 16-bit ones, by the datasheet."""
    return chip.eight.get(cost.rate, chip.peak16) / chip.peak16


def encode_seconds(encoder: Encoder, chip: Chip, dtype: str, constants: Constants) -> float:
    """Seconds of one text encoder: a few milliseconds to tenths of a second, so 8-bit products
    count as 16-bit ones here."""
    found = constants.classes[encoder.timing].costs.get(Mode.EAGER)
    cost = found or Cost(bytes=constants.general.encoder_bytes)
    rate = rate16(chip, constants.general, dtype)
    products = 2.0 * encoder.parameters * encoder.tokens * cost.slower / rate
    unpacking = cost.bytes * encoder.parameters / chip.memory
    return max(products, 2.0 * encoder.parameters / chip.memory) + unpacking


def move_seconds(chip: Chip, placement: Placement, moved_bytes: int, general: General) -> float:
    """Seconds of bringing weights to the card, and back where they are."""
    ways = WAYS.get(placement, 0)
    speed = min(general.offload_gbs * GIGA, chip.pcie or general.offload_gbs * GIGA)
    return ways * moved_bytes / speed
