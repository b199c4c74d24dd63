"""Bytes of a plan before anything is downloaded: weights, peak, host memory and download.

What a plan needs is counted in sizes/needs.py and held against the GPUs in placement.py; here both
become the answer of ``python -m quantlab predict``. Nothing is loaded and no tensor is made;
numbers follow the rules of the versions that ``rules_versions`` names.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass

from quantlab.catalog.answer.fits import barred, fits
from quantlab.catalog.answer.seconds import Timer, why_of, writing_seconds
from quantlab.catalog.gpus import Gpu, load_gpus
from quantlab.catalog.largest import Size, decoded_lighter, largest_size
from quantlab.catalog.placement import Device, Kind, placements_for
from quantlab.catalog.schema import Model, Verdict
from quantlab.catalog.sizes.download import download_bytes
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.picture import Picture, picture_asked, picture_of
from quantlab.catalog.sizes.weights import (
    component_bytes,
    find_model,
    plan_bytes,
)
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.catalog.time import NOTHING, Known, Reason, Seconds
from quantlab.words.comparison import Comparison
from quantlab.words.plan import Plan

__all__ = [
    "OnCard",
    "Prediction",
    "component_bytes",
    "download_bytes",
    "plan_bytes",
    "predict",
    "predict_asked",
    "rules_versions",
]

CHECKED_WITH = {"diffusers": "0.42.1", "transformers": "5.23.0"}
"""The versions that the rules were held against, beside those in the methods' files
(``rules_of``); a test does so for the installed ones."""


@dataclass(frozen=True)
class OnCard:
    """Where a plan is kept on one card, None where it does not fit, and the largest size that
    fits there, None where none does."""

    placement: Kind | None
    largest_size: Size | None
    image_s: Seconds | Reason | None = None
    """One call, encoders once; None where it does not fit."""
    writing_s: float | None = None
    """A token of a rewritten prompt at least, where a language model rewrites it."""
    lighter: str = ""
    """That it would fit where it were decoded in another way, if so."""
    barred: tuple[str, ...] = ()
    """Schemes of the plan that do not run there, whatever the memory."""

    @property
    def why(self) -> str:
        """What the seconds rest on, or why there are none."""
        if self.barred:
            return f"{', '.join(self.barred)}: does not run there, as pick says with its reason."
        if self.image_s is None:
            return f"It does not fit{self.lighter}."
        return why_of(self.image_s, self.writing_s)

    def as_dict(self) -> dict[str, object]:
        """The keys that ``predict --gpu`` adds."""
        size, time = self.largest_size, self.image_s
        seconds = None
        if isinstance(time, Seconds):
            seconds = {"low": time.low, "mid": time.mid, "high": time.high}
        return {
            "placement": self.placement,
            "image_s": seconds,
            "image_s_why": self.why,
            "largest_size": size and size.as_dict(),
        }


@dataclass(frozen=True)
class Prediction:
    """What a plan is predicted to need, all in bytes; nothing of it is measured.

    ``peak_bytes`` is with every component resident, ``offload_peak_bytes`` with model offload.
    ``host_bytes`` is the host memory while loading for a GPU, ``offload_host_bytes`` that with
    model offload. What is downloaded takes as much on disk. ``fits`` has the verdict of pick for
    every card: what the catalogue says of the plan's schemes there, and the memory.
    """

    plan: str
    component_bytes: Mapping[str, int]
    peak_bytes: int
    offload_peak_bytes: int
    host_bytes: int
    offload_host_bytes: int
    download_bytes: int
    fits: Mapping[str, Verdict]
    on_card: OnCard | None = None
    """For the card that was asked about, if one was."""

    @property
    def total_bytes(self) -> int:
        """All weights, quantization state included."""
        return sum(self.component_bytes.values())

    def as_dict(self) -> dict[str, object]:
        """The keys that ``python -m quantlab predict --json`` promises."""
        return {
            "plan": self.plan,
            "component_bytes": dict(self.component_bytes),
            "total_bytes": self.total_bytes,
            "peak_bytes": self.peak_bytes,
            "host_bytes": self.host_bytes,
            "download_bytes": self.download_bytes,
            "fits": dict(self.fits),
            **(self.on_card.as_dict() if self.on_card else {}),
        }


def predict(
    model_id: str,
    plan: Plan,
    *,
    width: int | None = None,
    height: int | None = None,
    sequence_length: int | None = None,
    batch: int | None = None,
    references: int | None = None,
    frames: int | None = None,
    guidance: float | None = None,
    true_cfg_scale: float | None = None,
    vae_tiling: bool | None = None,
    vae_slicing: bool | None = None,
    steps: int | None = None,
    gpu: Gpu | Device | None = None,
    ram_bytes: int | None = None,
    known: Known = NOTHING,
    catalog: Catalog | None = None,
) -> Prediction:
    """What ``plan`` needs for what is asked, as in ``picture_of``; sizes in pixels.

    ``gpu`` is a card, or another device, that is asked about apart, beside a host with
    ``ram_bytes``; None: the host's memory is not held against it, as it never is in ``fits``.
    ``known`` is what was measured on it.

    Raises:
        InputError: an unknown model, or it is asked for more than it takes.
        PlanError: an unknown scheme, or one whose way of storing is not known.
    """
    catalog = catalog or load_catalog()
    model = find_model(model_id, catalog)
    asked = picture_of(
        model,
        width=width,
        height=height,
        sequence_length=sequence_length,
        batch=batch,
        references=references,
        frames=frames,
        guidance=guidance,
        true_cfg_scale=true_cfg_scale,
        vae_tiling=vae_tiling,
        vae_slicing=vae_slicing,
    )
    return _predicted(plan, model, asked, gpu, ram_bytes, steps, known, catalog)


def predict_asked(
    comparison: Comparison,
    plan: Plan,
    *,
    batch: int | None = None,
    references: int | None = None,
    gpu: Gpu | Device | None = None,
    ram_bytes: int | None = None,
    known: Known = NOTHING,
    catalog: Catalog | None = None,
) -> Prediction:
    """``predict`` of a plan of ``comparison`` for all that it asks; ``references`` where they are
    more than those that it names.

    Raises:
        InputError, PlanError: as ``predict``.
    """
    catalog = catalog or load_catalog()
    model = find_model(comparison.model, catalog)
    asked = picture_asked(comparison, model, batch=batch, references=references)
    return _predicted(plan, model, asked, gpu, ram_bytes, comparison.steps, known, catalog)


def _predicted(
    plan: Plan,
    model: Model,
    picture: Picture,
    gpu: Gpu | Device | None,
    ram_bytes: int | None,
    steps: int | None,
    known: Known,
    catalog: Catalog,
) -> Prediction:
    needs = needs_of(plan, model, picture, catalog=catalog)
    on_card = None
    if gpu is not None:
        on_card = _on_card(plan, model, picture, gpu, ram_bytes, steps, known, catalog)
    return Prediction(
        plan=str(plan),
        component_bytes=needs.weights,
        peak_bytes=needs.resident_bytes,
        offload_peak_bytes=needs.offload_bytes,
        host_bytes=needs.host_bytes,
        offload_host_bytes=needs.offload_host_bytes,
        download_bytes=download_bytes(model, dict(plan.parts), catalog),
        fits={card.id: fits(needs, plan, model, card, catalog) for card in load_gpus().values()},
        on_card=on_card,
    )


def _on_card(
    plan: Plan,
    model: Model,
    asked: Picture,
    gpu: Gpu | Device,
    ram_bytes: int | None,
    steps: int | None,
    known: Known,
    catalog: Catalog,
) -> OnCard:
    """Nothing where the catalogue says that a scheme of the plan does not run on such a card."""
    if named := barred(plan, model, gpu, catalog):
        return OnCard(None, None, barred=named)
    needs = needs_of(plan, model, asked, catalog=catalog)
    found = placements_for(needs, plan, gpu, catalog, ram_bytes)
    largest = largest_size(plan, model, gpu, asked, catalog, ram_bytes)
    if not found:
        instead = decoded_lighter(plan, model, asked, gpu, catalog, ram_bytes)
        return OnCard(None, largest, lighter=instead)
    kind = found[0].kind
    timer = Timer(model, gpu, asked, catalog, ram_bytes=ram_bytes, steps=steps, known=known)
    time = timer.seconds(plan, kind, needs)
    return OnCard(kind, largest, time, writing_seconds(model, gpu, needs))


def rules_versions(catalog: Catalog) -> dict[str, str]:
    """The libraries whose rules are followed, with the installed version of each.

    A library that is not installed has the version that the rules were checked with, and says so.
    """
    found = {}
    methods = catalog.methods.values()
    rules = CHECKED_WITH | {n: v for method in methods for n, v in method.rules_of.items()}
    for name, checked in rules.items():
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = f"{checked} (not installed)"
    return found
