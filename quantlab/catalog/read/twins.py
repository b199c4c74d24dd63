"""What every scheme did on the tiny twin of every family: measured on random weights, on a CPU.

It shows that a library takes a family's layers, and that stored bytes are as predicted. It says
nothing of pictures, and nothing of a GPU. ``python -m tools.twins.schemes`` writes the file.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from quantlab.catalog.models.schema import Model
from quantlab.catalog.paths import PROJECT

__all__ = ["KEY", "MEASURED", "TWINS", "OnTwin", "fail_on_twin", "on_twin", "on_twins"]

TWINS = "twins.csv"
KEY = ("model", "component", "scheme")
MEASURED = (
    "measured", "detail", "denoiser_rel_l2", "psnr_db", "stored_bytes", "predicted_bytes", "width",
)  # fmt: skip


@dataclass(frozen=True)
class OnTwin:
    """What one scheme did on one component of a twin, and when.

    ``detail`` is the way that it took, or why it failed. ``rel_l2`` is how far one step of the
    denoiser is off, of random weights.
    """

    works: bool
    detail: str
    rel_l2: float | None
    stored_bytes: int | None
    predicted_bytes: int | None
    measured_on: str

    @property
    def off(self) -> float | None:
        """How far the prediction is off, as a share of what is stored."""
        if self.predicted_bytes is None or not self.stored_bytes:
            return None
        return self.predicted_bytes / self.stored_bytes - 1


@lru_cache(maxsize=1)
def on_twins() -> Mapping[tuple[str, str, str], OnTwin]:
    """What is known, by the model that its family was tried by, component and scheme; of schemes
    that the twin is too narrow for nothing is."""
    path = PROJECT / "data" / "results" / TWINS
    with path.open(encoding="utf-8", newline="") as file:
        told = (row for row in csv.DictReader(file) if row["measured"])
        return {(r["model"], r["component"], r["scheme"]): _read(r) for r in told}


def on_twin(
    model: Model, component: str, scheme: str, models: Mapping[str, Model]
) -> OnTwin | None:
    """What a scheme did on a component of the twin that stands for ``model``: its own, or that of
    one of ``models`` with the same class of pipeline; None where nobody tried."""
    known = on_twins()
    alike = (m.id for m in models.values() if m.pipeline == model.pipeline)
    found = (known.get((name, component, scheme)) for name in (model.id, *alike))
    return next((each for each in found if each is not None), None)


def fail_on_twin(model: Model, component: str, models: Mapping[str, Model]) -> frozenset[str]:
    """The schemes that failed on a component of the twin that stands for ``model``."""
    asked = {scheme for (_, _, scheme), each in on_twins().items() if not each.works}  # few of all
    tried = {scheme: on_twin(model, component, scheme, models) for scheme in asked}
    return frozenset(scheme for scheme, each in tried.items() if each and not each.works)


def _read(row: Mapping[str, str]) -> OnTwin:
    def whole(key: str) -> int | None:
        return int(row[key]) if row[key] else None

    return OnTwin(
        works=row["measured"] == "yes",
        detail=row["detail"],
        rel_l2=float(row["denoiser_rel_l2"]) if row["denoiser_rel_l2"] else None,
        stored_bytes=whole("stored_bytes"),
        predicted_bytes=whole("predicted_bytes"),
        measured_on=row["measured_on"],
    )
