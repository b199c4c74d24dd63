"""The process that tries schemes on one component of a twin; see tools/twins/schemes.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.models.schema import Model
from quantlab.catalog.sizes.weights import plan_bytes
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.device import this_device
from quantlab.lab.runners.child import serve
from quantlab.words.outcome import Outcome
from tools.twins.model import as_model

__all__ = ["plan_of"]

Tell = Callable[[Mapping[str, Any]], None]
STEPS, LENGTH = 2, 80


def plan_of(model: Model, component: str, scheme: str = "") -> str:
    """The plan with ``scheme`` on ``component``, "" for none, without what can be left out."""
    without = [c.name for c in model.components if c.optional and c.name != component]
    parts = ([f"{component}={scheme}"] if scheme else []) + [f"{name}=none" for name in without]
    return ",".join(parts) or model.base_dtype


def work(job: dict[str, Any], tell: Tell) -> None:
    """Run each scheme of ``job`` beside the unquantized twin, and tell what came of it."""
    known, folder = load_catalog(), Path(job["folder"])
    model = as_model(known.models[job["model"]], folder / "twin", folder / "shapes")
    catalog = replace(known, models={**known.models, model.id: model})
    bench = Bench(catalog, this_device())
    side = model.limits.min_size
    length = min(LENGTH, model.limits.max_sequence_length)
    for scheme in job["schemes"]:
        tell({"start": scheme})
        plans = [plan_of(model, job["component"], each) for each in ("", scheme)]
        comparison = make_comparison(
            model=model.id, plans=plans, prompt="a fox", steps=STEPS, width=side, height=side,
            sequence_length=length, catalog=catalog,
        )  # fmt: skip
        _, outcome = compare(comparison, bench=bench, out=folder / "images", warmup=0)
        parts = dict(comparison.plans[1].parts)
        predicted = plan_bytes(model.id, parts, None, catalog)[job["component"]]
        tell({"done": scheme, "predicted_bytes": predicted, **_said(outcome, job["component"])})


def _said(outcome: Outcome, component: str) -> dict[str, Any]:
    if outcome.error is not None:
        return {"measured": "no", "detail": f"{outcome.error.stage}: {outcome.error.message}"}
    return {
        "measured": "yes",
        "detail": outcome.way,
        "stored_bytes": outcome.weights_bytes[component],
        "denoiser_rel_l2": f"{outcome.transformer_rel_l2:.3g}",
        "psnr_db": f"{outcome.psnr_db:.1f}" if outcome.psnr_db is not None else "inf",
    }


if __name__ == "__main__":
    serve(work)
