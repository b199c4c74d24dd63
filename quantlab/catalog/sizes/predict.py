"""Bytes of a plan before anything is downloaded: weights, peak, host memory and download.

What a plan needs is counted in sizes/needs.py and held against the GPUs in placement.py; here both
become the answer of ``python -m quantlab predict``. Nothing is loaded and no tensor is made;
numbers follow the rules of the versions that ``rules_versions`` names.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass

from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.placement import placements_for, verdict_of
from quantlab.catalog.schema import Model, Verdict
from quantlab.catalog.sizes.needs import needs_of
from quantlab.catalog.sizes.storage import WIDTHS
from quantlab.catalog.sizes.weights import (
    component_bytes,
    find_model,
    plain_bytes,
    plan_bytes,
)
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.words.plan import LEFT_OUT, Plan

__all__ = [
    "Prediction",
    "component_bytes",
    "download_bytes",
    "plan_bytes",
    "predict",
    "rules_versions",
]

CHECKED_WITH = {"diffusers": "0.42.1", "transformers": "5.23.0"}
"""The versions that the rules were held against, beside those in the methods' files
(``rules_of``); a test does so for the installed ones."""


@dataclass(frozen=True)
class Prediction:
    """What a plan is predicted to need, all in bytes; nothing of it is measured.

    ``peak_bytes`` is with every component resident, ``offload_peak_bytes`` with model offload.
    ``host_bytes`` is the host memory while loading for a GPU, ``offload_host_bytes`` that with
    model offload. What is downloaded takes as much on disk.
    """

    plan: str
    component_bytes: Mapping[str, int]
    peak_bytes: int
    offload_peak_bytes: int
    host_bytes: int
    offload_host_bytes: int
    download_bytes: int
    fits: Mapping[str, Verdict]

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
        }


def predict(
    model_id: str,
    plan: Plan,
    *,
    width: int | None = None,
    height: int | None = None,
    sequence_length: int | None = None,
    catalog: Catalog | None = None,
) -> Prediction:
    """What ``plan`` needs at a size in pixels and a count of text tokens; None: the defaults.

    Raises:
        InputError: an unknown model.
        PlanError: an unknown scheme, or one whose way of storing is not known.
    """
    catalog = catalog or load_catalog()
    model = find_model(model_id, catalog)
    needs = needs_of(
        plan, model, width=width, height=height, sequence_length=sequence_length, catalog=catalog
    )
    return Prediction(
        plan=str(plan),
        component_bytes=needs.weights,
        peak_bytes=needs.resident_bytes,
        offload_peak_bytes=needs.offload_bytes,
        host_bytes=needs.host_bytes,
        offload_host_bytes=needs.offload_host_bytes,
        download_bytes=download_bytes(model, dict(plan.parts), catalog),
        fits={
            gpu.id: verdict_of(placements_for(needs, plan, gpu, catalog))
            for gpu in load_gpus().values()
        },
    )


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


def download_bytes(model: Model, parts: Mapping[str, str], catalog: Catalog) -> int:
    """Bytes of the weight files that are fetched; tokenizers, a few MB, are left out.

    Files hold the base dtype, whatever the plan makes of it, but for those of a model of one's
    own, which are known; a GGUF file holds the scheme, and what it keeps unquantized in 16 bits.
    """
    if model.local:
        return 0
    fetched = 0
    for component in model.components:
        if parts.get(component.name) == LEFT_OUT:
            continue
        scheme = catalog.schemes.get(parts.get(component.name, ""))
        if scheme is not None and scheme.from_file:
            fetched += component_bytes(model, component.name, scheme.id, "bf16", catalog)
        else:
            whole = plain_bytes(model, component.name, WIDTHS[model.base_dtype])
            fetched += whole if component.file_bytes is None else component.file_bytes
    return fetched
