"""Bytes of a plan before anything is downloaded: weights, peak, host memory and download.

Weights are counted in stored.py, what running adds is estimated in memory.py; here both become
the answer of ``python -m quantlab predict``. Nothing is loaded and no tensor is made; numbers
follow the rules of the versions that ``rules_versions`` names.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.memory import activation_bytes, verdict
from quantlab.catalog.schema import DTYPE_SCHEMES, Model, Verdict
from quantlab.catalog.shapes import component_shapes
from quantlab.catalog.storage import WIDTHS
from quantlab.catalog.stored import (
    component_bytes,
    find_model,
    plain_bytes,
    plan_bytes,
    scheme_bytes,
)
from quantlab.catalog.table import Catalog, load_catalog

__all__ = ["PlanLike", "Prediction", "component_bytes", "plan_bytes", "predict", "rules_versions"]

CHECKED_WITH = {
    "diffusers": "0.42.1",
    "transformers": "5.23.0",
    "bitsandbytes": "0.50.2",
    "torchao": "0.18.0",
    "optimum-quanto": "0.2.7",
    "gguf": "0.19.0",
    "sdnq": "0.2.8",
}
"""The versions that the rules were held against; a test does so for the installed ones."""


class PlanLike(Protocol):
    """What is needed of a plan: lab.plan.Plan is one."""

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """(component, scheme) of the components that it names."""

    @property
    def dtype(self) -> str | None:
        """ "fp32" or "bf16" where the whole pipeline is asked for in it."""


@dataclass(frozen=True)
class Prediction:
    """What a plan is predicted to need, all in bytes; nothing of it is measured.

    ``peak_bytes`` is with every component resident, ``offload_peak_bytes`` with model offload.
    ``host_bytes`` is the host memory while loading for a GPU, ``offload_host_bytes`` that with
    model offload, ``disk_bytes`` what the download takes on disk.
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

    @property
    def disk_bytes(self) -> int:
        """Disk for the downloaded files; files made here on first use come on top."""
        return self.download_bytes

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
    plan: PlanLike,
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
    parts = dict(plan.parts)
    weights = plan_bytes(model_id, parts, plan.dtype, catalog)
    running = {
        name: activation_bytes(
            model,
            name,
            width=width or model.defaults.width,
            height=height or model.defaults.height,
            sequence_length=sequence_length or model.defaults.sequence_length,
            item_bytes=WIDTHS[_dtype(model, plan.dtype, parts.get(name))],
        )
        for name in weights
    }
    total, scratch = sum(weights.values()), _scratch_bytes(model, plan, catalog)
    peak = total + scratch + max(running.values())
    offloaded = max(weights[name] + running[name] for name in weights) + scratch
    reading = {name: _reading_bytes(model, name, parts.get(name)) for name in weights}
    return Prediction(
        plan=str(plan),
        component_bytes=weights,
        peak_bytes=peak,
        offload_peak_bytes=offloaded,
        host_bytes=max(weights[name] + reading[name] for name in weights),
        offload_host_bytes=total + max(reading.values()),
        download_bytes=_download_bytes(model, parts, catalog),
        fits={
            gpu.id: verdict(gpu, weights_bytes=total, peak_bytes=peak, offload_bytes=offloaded)
            for gpu in load_gpus().values()
        },
    )


def rules_versions() -> dict[str, str]:
    """The libraries whose rules are followed, with the installed version of each.

    A library that is not installed has the version that the rules were checked with, and says so.
    """
    found = {}
    for name, checked in CHECKED_WITH.items():
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = f"{checked} (not installed)"
    return found


def _dtype(model: Model, dtype: str | None, scheme_id: str | None) -> str:
    return scheme_id if scheme_id in WIDTHS and scheme_id else dtype or model.base_dtype


def _scratch_bytes(model: Model, plan: PlanLike, catalog: Catalog) -> int:
    """The largest weight that is expanded to the compute dtype while a layer runs."""
    largest = 0
    for name, scheme_id in plan.parts:
        if scheme_id in catalog.schemes:
            shapes = component_shapes(model.id, name)
            numbers = max(m.numbers - m.others for m in shapes if m.kind == "linear")
            largest = max(largest, numbers * WIDTHS[plan.dtype or model.base_dtype])
    return largest


def _reading_bytes(model: Model, component: str, scheme_id: str | None) -> int:
    """Host bytes of the file that is being read while a component is quantized; else none."""
    if scheme_id is None or scheme_id in DTYPE_SCHEMES:
        return 0
    whole = plain_bytes(model.id, component, WIDTHS[model.base_dtype])
    return min(whole, int(model.extra.get("files", {}).get(component, whole)))


def _download_bytes(model: Model, parts: Mapping[str, str], catalog: Catalog) -> int:
    """Bytes of the weight files that are fetched; tokenizers, a few MB, are left out.

    Files hold the base dtype, whatever the plan makes of it; a GGUF file holds the scheme, and
    what it keeps unquantized in 16 bits.
    """
    if model.local:
        return 0
    fetched = 0
    for component in model.components:
        scheme = catalog.schemes.get(parts.get(component.name, ""))
        if scheme is not None and scheme.way == "gguf":
            fetched += scheme_bytes(model, component.name, scheme, WIDTHS["bf16"])
        else:
            fetched += plain_bytes(model.id, component.name, WIDTHS[model.base_dtype])
    return fetched
