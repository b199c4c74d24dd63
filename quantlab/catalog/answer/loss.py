"""How far a plan moves the picture, told before it is run.

The figure is the relative L2 of the denoiser's output for one identical step, against the plan that
quantizes nothing; tools/loss.py measures it on flux-mini, a mean over prompts and over all steps.
A text encoder counts on the same scale.

The rule, whole:

1. Each scheme has the figure that was measured with it on flux-mini's denoiser, or on its large
   text encoder. A scheme that nobody measured has none, and neither has a plan that holds it.
   An encoder's is the figure of the denoiser that moves flux-mini's picture as far: of one step it
   says too little, since what it rounds away pulls every step the same way (tools/loss.py).
2. A plan's figure is the root of the sum of the squares of its parts': what a scheme rounds away in
   the denoiser has nothing to do with what another rounds away in the encoder.
   data/results/loss-flux-mini.csv has pairs that were measured together; tests hold the rule
   against them.
3. On flux-mini the figure of a plan that was measured is ``measured``; every other figure is
   ``predicted``: from flux-mini, on all models that nobody measured.
4. Compiling changes nothing of it.

Words for it are those of data/bands.toml. What others published stands beside it, each with its
own metric, and is never mixed in (``published_losses``).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from quantlab.catalog.bands import Band, load_bands
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Model
from quantlab.words.choice import Loss
from quantlab.words.comparison import SHIPPED
from quantlab.words.metrics import metric
from quantlab.words.plan import LEFT_OUT, Plan

__all__ = [
    "METRIC",
    "PublishedLoss",
    "band_of",
    "in_words",
    "loss_of",
    "measured_losses",
    "published_losses",
    "scheme_loss",
    "word_of",
]

METRIC = "transformer_rel_l2"
MEASURED_ON = SHIPPED
_FILES = PROJECT / "data" / "results"


@dataclass(frozen=True)
class PublishedLoss:
    """A figure of somebody else: ``value`` of ``metric`` against the same model in ``against``.

    ``plan`` is "" where it is of no scheme that the catalogue has; ``described`` says what it is.
    """

    model: str
    plan: str
    described: str
    metric: str
    value: float
    against: str
    setting: str
    source: str
    url: str
    checked: str

    def __str__(self) -> str:
        """One sentence with its source."""
        labels = {"psnr_db": f"{self.value:.1f} dB PSNR", "ssim": f"SSIM {self.value:.3f}"}
        said = labels.get(self.metric, f"LPIPS {self.value:.3f}")
        return (
            f"published: {self.described} {said} against {self.against}, {self.setting} "
            f"({self.source}, {self.checked})"
        )


@lru_cache(maxsize=1)
def measured_losses() -> Mapping[tuple[str, str], float]:
    """What was measured on flux-mini: (scheme of the denoiser, scheme of the large text encoder)
    -> figure; "" is a component that nothing quantizes."""
    with (_FILES / f"loss-{MEASURED_ON}.csv").open(encoding="utf-8", newline="") as lines:
        rows = {(r["denoiser"], r["encoder"]): float(r["loss"]) for r in csv.DictReader(lines)}
    return MappingProxyType(rows)


@lru_cache(maxsize=1)
def published_losses() -> tuple[PublishedLoss, ...]:
    """What others published, in the order of data/results/published-loss.csv."""
    with (_FILES / "published-loss.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(
            PublishedLoss(
                row["model"],
                row["plan"],
                row["described"],
                row["metric"],
                float(row["value"]),
                row["against"],
                row["setting"],
                row["source"],
                row["url"],
                row["checked"],
            )
            for row in csv.DictReader(lines)
        )


def scheme_loss(scheme: str, *, encoder: bool = False) -> float | None:
    """The figure of ``scheme`` on a denoiser, or on a text encoder; None where nobody measured."""
    return measured_losses().get(("", scheme) if encoder else (scheme, ""))


def band_of(loss: Loss) -> Band:
    """The word for it, from data/bands.toml."""
    return load_bands().of(metric(loss.metric), loss.value)


def word_of(value: float) -> str:
    """The word for a figure of a scheme."""
    return load_bands().of(metric(METRIC), value).word


def in_words(loss: Loss) -> str:
    """``close, one step 1.22% off (predicted from flux-mini)``."""
    if loss.value == 0:
        return "nothing is quantized, nothing is lost"
    how = "measured on" if loss.evidence == "measured" else "predicted from"
    return f"{band_of(loss).word}, {metric(loss.metric).said.format(loss.value)} ({how} {loss.of})"


def loss_of(plan: Plan, model: Model) -> Loss | None:
    """How far ``plan`` moves what ``model`` draws; None where a part of it was never measured."""
    unchanged = (model.base_dtype, LEFT_OUT)
    named = {name: scheme for name, scheme in plan.parts if scheme not in unchanged}
    if plan.dtype not in (None, model.base_dtype, "fp32"):
        named[model.denoiser] = str(plan.dtype)
    parts = [scheme_loss(s, encoder=name != model.denoiser) for name, s in named.items()]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if model.id == MEASURED_ON and (pair := _measured_pair(named, model)) is not None:
        return Loss(pair, METRIC, MEASURED_ON, "measured")
    value = math.sqrt(sum(part**2 for part in known))
    return Loss(value, METRIC, MEASURED_ON, "predicted")


def _measured_pair(named: Mapping[str, str], model: Model) -> float | None:
    """The figure of exactly these parts, where they were measured together."""
    encoder = model.encoder.name if model.encoder else ""
    if set(named) - {model.denoiser, encoder}:
        return None
    return measured_losses().get((named.get(model.denoiser, ""), named.get(encoder, "")))
