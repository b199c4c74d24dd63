"""What comes out of a plan: an outcome, and the events that lead up to it. Plain values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from statistics import median
from typing import Any, Literal

from quantlab.words.metrics import COSTS, SCORES

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
    """Result or failure of one plan. Bytes are bytes, ``_s`` are seconds, ``_db`` is dB.

    ``load_s`` is what loading the plan's components took when they were loaded, whether or not
    they were shared with an earlier plan; ``latency_s`` likewise holds one whole run per repeat
    as the plan would take it alone: encoding, all steps, decoding. ``step_s`` is the median time
    of one denoising step. ``scores`` are those of ``words.metrics.SCORES`` that are known, by key;
    where the image equals the reference's, those of images have no value. ``transformer_rel_l2`` is
    ||v - v_ref|| / ||v_ref|| of the denoiser's first output on the reference's input.

    ``peak_bytes`` is the larger of ``load_peak_bytes`` and ``run_peak_bytes``; ``reserved_bytes``
    is the most that the device's allocator kept, ``device_bytes`` what all processes had of the
    device when the run ended. None where the device does not tell. ``placement`` is where the
    weights were kept: "cpu" or a kind of catalog/placement.py. ``others_cpu`` is the share of the
    machine's processor that other processes took while it ran, 0 to 1. ``noise_floor`` is the
    reference's;
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
    scores: Mapping[str, float] = field(default_factory=dict)
    error: Failure | None = None
    notes: tuple[str, ...] = ()
    placement: str | None = None
    load_peak_bytes: int | None = None
    run_peak_bytes: int | None = None
    reserved_bytes: int | None = None
    device_bytes: int | None = None
    noise_floor: NoiseFloor | None = None
    across_modes: bool = False
    others_cpu: float | None = None

    @property
    def psnr_db(self) -> float | None:
        """Of the image, against the reference's."""
        return self.scores.get("psnr_db")

    @property
    def ssim(self) -> float | None:
        """Of the image, against the reference's; 1 is equal."""
        return self.scores.get("ssim")

    @property
    def transformer_rel_l2(self) -> float | None:
        """Of one identical step of the denoiser."""
        return self.scores.get("transformer_rel_l2")

    @property
    def held(self) -> bool:
        """Whether it was held against the reference."""
        return self.transformer_rel_l2 is not None

    @property
    def identical(self) -> bool:
        """Whether its image equals the reference's, which leaves images without a score."""
        return self.held and not any(row.image and row.key in self.scores for row in SCORES)

    def cost(self, key: str) -> float | None:
        """A row of ``COSTS``: all weights together, the median over the repeats."""
        if key == "weights_bytes":
            return sum(self.weights_bytes.values()) or None
        if key == "latency_s":
            return median(self.latency_s) if self.latency_s else None
        value: float | None = getattr(self, key)
        return value

    def figures(self) -> dict[str, float]:
        """Every metric that is known, by key."""
        costs = {row.key: self.cost(row.key) for row in COSTS}
        return {key: value for key, value in costs.items() if value is not None} | {
            row.key: self.scores[row.key] for row in SCORES if row.key in self.scores
        }

    def scored(self, **scores: float | None) -> Outcome:
        """The same with these scores; None is not known."""
        merged = {**self.scores, **scores}
        return replace(self, scores={k: v for k, v in merged.items() if v is not None})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; every score has its key, null where it is not known."""
        found: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if name == "scores":
                found |= {row.key: self.scores.get(row.key) for row in SCORES} | value
            else:
                found[name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """The inverse of ``as_dict``.

        Raises:
            TypeError, KeyError: the data is not an outcome.
        """
        error, floor = data.get("error"), data.get("noise_floor")
        known = {each.name for each in fields(cls)}
        scores = {key: value for key, value in data.items() if key not in known}
        return cls(
            **{
                **{key: value for key, value in data.items() if key in known},
                "scores": {key: float(v) for key, v in scores.items() if v is not None},
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
    image: str | None = None
    """A picture that is there before its figures: that of the warm-up, complete on disk."""


@dataclass(frozen=True)
class Finished:
    """The outcome of plan ``index``; ``image`` of the outcome is complete on disk."""

    index: int
    outcome: Outcome


Event = Progress | Finished
