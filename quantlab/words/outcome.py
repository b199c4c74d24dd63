"""What comes out of a plan: an outcome, and the events that lead up to it. Plain values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Event", "Failure", "Finished", "NoiseFloor", "Outcome", "Progress", "Stage"]

Stage = Literal["check", "load", "verify", "encode", "run", "process", "stopped"]
"""How far a plan came before it failed."""


@dataclass(frozen=True)
class Failure:
    """Where a plan failed, the error's type, and one sentence for people."""

    stage: Stage
    type: str
    message: str


@dataclass(frozen=True)
class NoiseFloor:
    """The reference run again in the same mode with the same seed, held against itself.

    Where whole runs were compared ``repeated`` is "image" and ``psnr_db`` None means identical to
    the bit. Where the reference ran once only, ``repeated`` is "step": one step of its transformer
    was done twice, and ``psnr_db`` is not known. ``rel_l2`` is that of one step in both cases.
    """

    psnr_db: float | None
    rel_l2: float
    repeated: Literal["image", "step"]


@dataclass(frozen=True)
class Outcome:
    """Result or failure of one plan. Bytes are bytes, ``_s`` are seconds, ``psnr_db`` is dB.

    ``load_s`` is what loading the plan's components took when they were loaded, whether or not
    they were shared with an earlier plan; ``latency_s`` likewise holds one whole run per repeat
    as the plan would take it alone: encoding, all steps, decoding. ``step_s`` is the median time
    of one denoising step. ``transformer_rel_l2`` is ||v - v_ref|| / ||v_ref|| of the transformer's
    first output on the reference's input.

    ``peak_bytes`` is the larger of ``load_peak_bytes`` and ``run_peak_bytes``; ``reserved_bytes``
    is the most that the device's allocator kept, ``device_bytes`` what all processes had of the
    device when the run ended. None where the device does not tell. ``placement`` is where the
    weights were kept: "cpu" or a kind of catalog/placement.py. ``noise_floor`` is the reference's;
    ``across_modes`` says that an eager plan was held against a compiled one, or the reverse.
    """

    plan: str
    status: Literal["ok", "failed"]
    way: str | None = None
    image: str | None = None
    weights_bytes: Mapping[str, int] = field(default_factory=dict)
    peak_bytes: int | None = None
    peak_kind: str | None = None
    load_s: float | None = None
    latency_s: tuple[float, ...] = ()
    encode_s: float | None = None
    step_s: float | None = None
    decode_s: float | None = None
    psnr_db: float | None = None
    ssim: float | None = None
    transformer_rel_l2: float | None = None
    error: Failure | None = None
    notes: tuple[str, ...] = ()
    placement: str | None = None
    load_peak_bytes: int | None = None
    run_peak_bytes: int | None = None
    reserved_bytes: int | None = None
    device_bytes: int | None = None
    noise_floor: NoiseFloor | None = None
    across_modes: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "latency_s": list(self.latency_s), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """The inverse of ``as_dict``.

        Raises:
            TypeError, KeyError: the data is not an outcome.
        """
        error, floor = data.get("error"), data.get("noise_floor")
        return cls(
            **{
                **data,
                "latency_s": tuple(data.get("latency_s", ())),
                "notes": tuple(data.get("notes", ())),
                "error": Failure(**error) if error else None,
                "noise_floor": NoiseFloor(**floor) if floor else None,
            }
        )


@dataclass(frozen=True)
class Progress:
    """What plan ``index`` is doing now: "quantizing the transformer", "step 3 of 8"."""

    index: int
    text: str
    fraction: float
    """0 to 1 of this plan, by steps done; loading counts as 0."""


@dataclass(frozen=True)
class Finished:
    """The outcome of plan ``index``; ``image`` of the outcome is complete on disk."""

    index: int
    outcome: Outcome


Event = Progress | Finished
