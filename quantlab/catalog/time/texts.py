"""Why there is no number, and what a number rests on: ids with the sentences that people read."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

__all__ = ["Basis", "Reason"]


class Reason(StrEnum):
    """Why no time is given: nothing honest can be said."""

    AMD = "amd"
    APPLE = "apple"
    INTEL = "intel"
    NO_FIGURES = "no-figures"
    NO_MATRIX_UNITS = "no-matrix-units"
    NO_FP8 = "no-fp8"
    NO_INT8 = "no-int8"
    SVDQUANT = "svdquant"
    UNTIMED = "untimed"
    UNTIMED_MODE = "untimed-mode"
    FP32 = "fp32"
    BF16_EAGER = "bf16-eager"
    NOT_COMPILED = "not-compiled"
    GROUP_OFFLOAD = "group-offload"
    HOST_MEMORY = "host-memory"
    READ_AGAIN = "read-again"
    NOT_A_TRANSFORMER = "not-a-transformer"
    VIDEO = "video"
    WRITES_PROMPT = "writes-prompt"
    CPU = "cpu"
    CPU_SCHEME = "cpu-scheme"

    @property
    def text(self) -> str:
        """The sentence that people read."""
        return _REASONS[self]


class Basis(StrEnum):
    """What a number rests on."""

    MEASURED = "measured"
    SCALED = "scaled"
    PACE = "pace"
    MATMUL_MEASURED = "matmul-measured"
    DATASHEET = "datasheet"
    EMULATED_BF16 = "emulated-bf16"
    SEVERAL_CARDS = "several-cards"
    ONE_CARD = "one-card"
    ANALOGY = "analogy"
    ENCODER = "encoder"
    OFFLOAD = "offload"

    @property
    def text(self) -> str:
        """The sentence that people read."""
        return _BASISS[self]


_REASONS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.AMD: (
            "On AMD cards others saw 1.6 to 2.6 times what the rule for NVIDIA cards says: too far "
            "apart to tell one."
        ),
        Reason.APPLE: (
            "On Apple chips others saw 1.1 to 2.8 times what the rule for NVIDIA cards says: too "
            "far apart to tell one."
        ),
        Reason.INTEL: "Nobody has published times on Intel cards that the rule could be held to.",
        Reason.NO_FIGURES: "The card's peak rate, bandwidth or cache is not known.",
        Reason.NO_MATRIX_UNITS: (
            "The card has no matrix units; the rule was never tried on one without."
        ),
        Reason.NO_FP8: "The card has no float8 products.",
        Reason.NO_INT8: "The card's rate of int8 products is not known.",
        Reason.SVDQUANT: (
            "SVDQuant's own kernels were 2.8 to 3.5 times faster than this rule says."
        ),
        Reason.UNTIMED: "Nobody has published a time of this scheme that could be learned from.",
        Reason.UNTIMED_MODE: "Nobody has published a time of this scheme in this mode.",
        Reason.BF16_EAGER: (
            "PyTorch's compiler passes bf16 by on a card without hardware for it: it stays eager."
        ),
        Reason.NOT_COMPILED: (
            "Compiled it did not run on the CUDA GPU on which it was measured (probe-cuda.csv)."
        ),
        Reason.FP32: "Nobody publishes times of fp32 on a GPU.",
        Reason.GROUP_OFFLOAD: (
            "Group offload depends on the host's memory and on streams more than on the card."
        ),
        Reason.HOST_MEMORY: "The host memory is too small: it would swap.",
        Reason.READ_AGAIN: (
            "The host's memory does not hold the weights: each image reads them anew from a disk "
            "of unknown speed."
        ),
        Reason.NOT_A_TRANSFORMER: (
            "The rule counts the work of transformers; this denoiser has convolutions."
        ),
        Reason.VIDEO: "The rule was never tried on video, whose decoder takes much of the time.",
        Reason.WRITES_PROMPT: (
            "A language model rewrites the prompt first, and how long its text gets is not known."
        ),
        Reason.CPU: "On a CPU nothing is said before a step has run there, and of this none has.",
        Reason.CPU_SCHEME: "On this CPU steps of the model as it is were run, none of this plan.",
    }
)

_BASISS: Mapping[Basis, str] = MappingProxyType(
    {
        Basis.MEASURED: "measured with these settings on such a device",
        Basis.SCALED: "scaled by what was measured on this card",
        Basis.PACE: "from steps at two sizes that were run on this CPU",
        Basis.MATMUL_MEASURED: "the card's rate of 16-bit products was measured",
        Basis.DATASHEET: "the card's rate is its datasheet's, times what like cards reach",
        Basis.EMULATED_BF16: "the card has no bf16: about an eighth of its rate",
        Basis.SEVERAL_CARDS: "the scheme was timed on several cards",
        Basis.ONE_CARD: "the scheme was timed on one card only",
        Basis.ANALOGY: "nobody timed this scheme: taken as one that does the same work",
        Basis.ENCODER: "nobody timed the text encoder's scheme, which is a small part",
        Basis.OFFLOAD: "moving weights takes 2 to 8 GB a second, depending on the host",
    }
)
