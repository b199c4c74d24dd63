"""The values that a time is predicted from, and what comes out; nothing here computes.

What is counted: one call of a pipeline with warm weights, from the prompt to the decoded picture.
Loading, quantizing, compiling and saving are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from quantlab.catalog.time.texts import Basis

__all__ = [
    "Card",
    "Denoiser",
    "Encoder",
    "MeasuredRun",
    "Mode",
    "Parts",
    "Placement",
    "Run",
    "Seconds",
    "Streams",
    "Work",
]


class Mode(StrEnum):
    """How the denoiser runs; ``COMPILED`` is torch.compile of its repeated blocks or of all."""

    EAGER = "eager"
    COMPILED = "compiled"


class Placement(StrEnum):
    """Where the weights are while it runs.

    ``STAGED``: each component is moved to the card once and dropped there after its work.
    ``MODEL_OFFLOAD``: moved there and back again.
    """

    RESIDENT = "resident"
    STAGED = "staged"
    MODEL_OFFLOAD = "model-offload"
    GROUP_OFFLOAD = "group-offload"


@dataclass(frozen=True)
class Card:
    """Figures of a GPU, in 10**12 operations, 10**9 bytes a second and 2**20 bytes.

    ``peak16_tflops``: dense, fp32 accumulation. ``matmul16_tflops``: a large 16-bit product as it
    was measured in PyTorch. ``capability``: CUDA's, (8, 9). None is unknown.
    """

    vendor: str
    capability: tuple[int, int] | None
    peak16_tflops: float | None
    fp32_tflops: float | None
    bandwidth_gbs: float | None
    l2_mb: float | None
    pcie_gbs: float | None = None
    peak_fp8_tflops: float | None = None
    peak_int8_tops: float | None = None
    matmul16_tflops: float | None = None
    bf16_native: bool = True


@dataclass(frozen=True)
class Streams:
    """Weights of a denoiser's Linear layers, by what passes through each in one pass.

    ``image``: image tokens (and those of references, where ``reference`` is 0). ``both``: every
    token. ``vector``: one vector a sample (modulation, time embedding).
    """

    both: int = 0
    image: int = 0
    text: int = 0
    reference: int = 0
    vector: int = 0


@dataclass(frozen=True)
class Denoiser:
    """A transformer: ``blocks`` that attend over the image, ``width`` of the stream."""

    streams: Streams
    width: int
    heads: int
    head_dim: int
    blocks: int


@dataclass(frozen=True)
class Encoder:
    """A text encoder that reads ``tokens`` once: all prompts of the call, the negative one too.

    ``timing`` is the class of its scheme; encoders are never compiled.
    """

    parameters: int
    tokens: int
    timing: str = "none"


@dataclass(frozen=True)
class Work:
    """What one call does. ``denoiser`` is None for one that is no transformer.

    ``image_tokens``, ``text_tokens`` and ``reference_tokens`` of one sample; ``batch`` samples go
    through each pass, ``passes`` of them make a step: true guidance takes two, or twice the batch.
    ``decoded_pixels`` and ``encoded_pixels`` (reference pictures) are those of the whole call.
    ``writes_prompt``: a language model rewrites the prompt first. ``frames``: more than 1 is video.
    """

    denoiser: Denoiser | None
    image_tokens: int
    text_tokens: int
    steps: int
    decoded_pixels: int
    reference_tokens: int = 0
    batch: int = 1
    passes: int = 1
    encoded_pixels: int = 0
    encoders: tuple[Encoder, ...] = ()
    frames: int = 1
    writes_prompt: bool = False


@dataclass(frozen=True)
class Run:
    """How it is done: ``timing`` is the denoiser's class in data/latency/constants.toml.

    ``moved_bytes``: all that offloading brings to the card in one call, counted once. ``plan``: its
    text, where it is known; schemes of one class are not one plan.
    """

    timing: str = "none"
    mode: Mode = Mode.EAGER
    placement: Placement = Placement.RESIDENT
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    moved_bytes: int = 0
    host_memory_suffices: bool = True
    plan: str = ""


@dataclass(frozen=True)
class MeasuredRun:
    """Seconds of one call that were measured on the card that is asked about."""

    work: Work
    run: Run
    seconds: float


class Parts(NamedTuple):
    """Seconds of a call: all steps together, text encoders, autoencoder, moving weights, rest."""

    steps: float
    encode: float
    decode: float
    move: float
    rest: float

    @property
    def total(self) -> float:
        """All parts together."""
        return self.steps + self.encode + self.decode + self.move + self.rest


@dataclass(frozen=True)
class Seconds:
    """A time with its interval; ``basis`` says what it rests on, ``evidence`` of what kind."""

    low: float
    mid: float
    high: float
    evidence: Literal["predicted", "measured"]
    basis: tuple[Basis, ...]

    def text(self) -> str:
        """``about 12 s (10 to 15), predicted``."""
        return f"about {self.span()}, {self.evidence}"

    def span(self) -> str:
        """``12 s (10 to 15)``."""
        return f"{_short(self.mid)} s ({_short(self.low)} to {_short(self.high)})"


def _short(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:.0f}"
    return f"{seconds:.1f}" if seconds >= 1 else f"{seconds:.2f}"
