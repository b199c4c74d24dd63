"""The process that tries schemes on one component of a twin; see tools/twins/schemes.py."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.models.schema import Model
from quantlab.catalog.sizes.weights import plan_bytes
from quantlab.catalog.table import load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.device import this_device
from quantlab.lab.references import keep_reference
from quantlab.lab.runners.child import serve
from quantlab.words.outcome import Outcome
from tools.twins.model import as_model

__all__ = ["asked_of", "plan_of"]

Tell = Callable[[Mapping[str, Any]], None]
STEPS, LENGTH = 2, 80


def plan_of(model: Model, component: str, scheme: str = "") -> str:
    """The plan with ``scheme`` on ``component``, "" for none, without what can be left out."""
    without = [c.name for c in model.components if c.optional and c.name != component]
    parts = ([f"{component}={scheme}"] if scheme else []) + [f"{name}=none" for name in without]
    return ",".join(parts) or model.base_dtype


def work(job: dict[str, Any], tell: Tell) -> None:
    """Run the schemes of ``job`` beside the unquantized twin, and tell what came of each."""
    known, folder = load_catalog(), Path(job["folder"])
    model = as_model(known.models[job["model"]], folder / "twin", folder / "shapes")
    catalog = replace(known, models={**known.models, model.id: model})
    bench = Bench(catalog, this_device())
    for scheme in job["schemes"]:
        tell({"start": scheme})
        comparison = make_comparison(
            model=model.id,
            plans=[plan_of(model, job["component"], each) for each in ("", scheme)],
            catalog=catalog,
            **asked_of(model),
        )
        _, outcome = compare(comparison, bench=bench, out=folder / "images", warmup=0)
        parts = dict(comparison.plans[1].parts)
        predicted = plan_bytes(model.id, parts, None, catalog)[job["component"]]
        tell({"done": scheme, "predicted_bytes": predicted, **_said(outcome, job["component"])})


def asked_of(model: Model) -> dict[str, Any]:
    """Settings of the smallest picture that its family makes, with what it cannot do without."""
    side = model.limits.min_size
    length = min(LENGTH, model.limits.max_sequence_length)
    asked: dict[str, Any] = {"prompt": "a fox", "steps": STEPS, "width": side, "height": side}
    asked["sequence_length"] = length
    if model.family.needs_reference:
        asked["reference"] = keep_reference(_picture(side), "gradient")
    if model.family.frames is not None:
        asked["frames"] = 1 + model.family.frames
    return asked


def _picture(side: int) -> bytes:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(content, "PNG")
    return content.getvalue()


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
