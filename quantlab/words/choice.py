"""A choice: a plan proposed for a device, with memory, time, loss and what is given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from quantlab.words.settings import setting

__all__ = ["HEADS", "LABELS", "Choice", "Evidence", "Label", "Loss", "Span"]

Label = Literal["fastest", "best-picture", "smallest"]
LABELS: tuple[Label, ...] = ("fastest", "best-picture", "smallest")
"""In the order in which choices stand."""
HEADS: dict[Label, str] = {
    "fastest": "fastest",
    "best-picture": "best picture",
    "smallest": "smallest",
}
"""What people read."""
LIKELY = "likely fastest"
"""Instead, where nobody knows the seconds: it has the least to move."""
Evidence = Literal["documented", "predicted", "measured"]


@dataclass(frozen=True)
class Span:
    """Seconds of one image, warm, with the ends of their interval."""

    low: float
    mid: float
    high: float

    def __str__(self) -> str:
        """``12 s (10 to 15)``."""
        return f"{_short(self.mid)} s ({_short(self.low)} to {_short(self.high)})"

    def as_dict(self) -> dict[str, float]:
        """The keys of the contract."""
        return {"low": self.low, "mid": self.mid, "high": self.high}


def _short(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:.0f}"
    return f"{seconds:.1f}" if seconds >= 1 else f"{seconds:.2f}"


@dataclass(frozen=True)
class Loss:
    """How far a plan moves the picture: ``value`` of ``metric``, a row of words/metrics.py.
    ``of`` is the model that it was measured on."""

    value: float
    metric: str
    of: str
    evidence: Evidence

    def as_dict(self) -> dict[str, object]:
        """The keys of the contract."""
        return {
            "value": self.value,
            "metric": self.metric,
            "of": self.of,
            "evidence": self.evidence,
        }


@dataclass(frozen=True)
class Choice:
    """One proposed plan for ``hardware``, a kind of device. ``plan`` is its text; bytes are
    predicted, ``host_bytes`` 0 where device and host share one memory. ``image_s`` is None where
    nothing honest can be said;
    ``image_s_why`` says what the seconds rest on, or why there are none. ``given_up`` is what
    another choice has and this one has not."""

    labels: tuple[Label, ...]
    plan: str
    hardware: str
    placement: str
    peak_bytes: int
    device_bytes: int
    host_bytes: int
    download_bytes: int
    image_s: Span | None
    image_s_evidence: Evidence | None
    image_s_why: str
    loss: Loss
    given_up: str
    licences: tuple[str, ...]
    """Schemes of libraries whose licence has to be told, each with it; also among the reasons."""
    reasons: tuple[str, ...]
    install: str
    drawn_s: Span | None = None
    """Where ``image_s`` is None because a language model rewrites the prompt first, in a time that
    nobody knows: the seconds of all the rest."""
    settings: tuple[str, ...] = ()
    """The settings of words/settings.py without which it does not fit: ways of decoding."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Its labels as people read them; the fastest is likely so where no seconds are known."""
        known = self.image_s is not None or self.drawn_s is not None
        return tuple(
            LIKELY if label == "fastest" and not known else HEADS[label] for label in self.labels
        )

    @property
    def ways(self) -> tuple[str, ...]:
        """How it is kept and decoded, as people call it: ``staged``, ``VAE tiling``."""
        decoded = (setting(key).label for key in self.settings)
        return (self.placement.replace("-", " "), *decoded)

    def as_dict(self) -> dict[str, Any]:
        """The keys that ``propose`` promises, but for ``snippet``, which takes the lab to write;
        ``settings`` only where there are any."""
        return {
            "labels": list(self.labels),
            "plan": self.plan,
            "placement": self.placement,
            **({"settings": dict.fromkeys(self.settings, True)} if self.settings else {}),
            "peak_bytes": self.peak_bytes,
            "host_bytes": self.host_bytes,
            "download_bytes": self.download_bytes,
            "image_s": self.image_s.as_dict() if self.image_s else None,
            "image_s_why": self.image_s_why,
            "loss": self.loss.as_dict(),
            "reasons": [*([self.given_up] if self.given_up else []), *self.reasons],
            "install": self.install,
        }
