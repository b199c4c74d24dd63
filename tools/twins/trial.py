"""The process that tries schemes on one component of a twin; see tools/twins/schemes.py."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.models.schema import Model
from quantlab.catalog.sizes.shapes import component_shapes
from quantlab.catalog.sizes.weights import plan_bytes
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.device import this_device
from quantlab.lab.references import keep_reference
from quantlab.lab.runners.child import serve
from quantlab.words.comparison import MAX_PLANS, Comparison
from quantlab.words.outcome import Event, Finished, Outcome
from tools.twins.model import as_model

__all__ = ["asked_of", "plan_of"]

Tell = Callable[[Mapping[str, Any]], None]
STEPS, LENGTH = 2, 80
BLOCKS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("bnb-nf4", "bnb-fp4", "bnb-nf4-dq", "bnb-fp4-dq"), (64, 1)),
    "torchao-int8wo-g64": (64, 1),
    "torchao-nf4": (1, 64 * 256),
}
"""Inputs of a layer and numbers of a weight of which some schemes take whole multiples alone: the
libraries' block sizes, bitsandbytes' on a CPU."""


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
    many = MAX_PLANS - 1  # beside the reference, which is run once for them
    for start in range(0, len(job["schemes"]), many):
        schemes = job["schemes"][start : start + many]
        comparison = make_comparison(
            model=model.id,
            plans=[plan_of(model, job["component"], each) for each in ("", *schemes)],
            catalog=catalog,
            **asked_of(model),
        )
        heard = _Heard(comparison, job["component"], schemes, known.models[model.id], catalog, tell)
        compare(comparison, bench=bench, out=folder / "images", report=heard, warmup=0)


@dataclass
class _Heard:
    """Tells of each scheme of a comparison when it begins and what came of it."""

    comparison: Comparison
    component: str
    schemes: Sequence[str]
    real: Model
    catalog: Catalog
    tell: Tell
    begun: int = 0

    def __call__(self, event: Event) -> None:
        if event.index == 0:
            return
        scheme = self.schemes[event.index - 1]
        if event.index != self.begun:
            self.tell({"start": scheme})
            self.begun = event.index
        if isinstance(event, Finished):
            parts = dict(self.comparison.plans[event.index].parts)
            predicted = plan_bytes(self.real.id, parts, None, self.catalog)[self.component]
            said = _said(event.outcome, self.component)
            if event.outcome.error is not None and self._too_narrow(scheme):
                said |= {"measured": "", "detail": f"the twin is too narrow: {said['detail']}"}
            self.tell({"done": scheme, "predicted_bytes": predicted, **said})

    def _too_narrow(self, scheme: str) -> bool:
        """Whether the twin has layers that the scheme cannot take and the real model has none."""
        twin = self.catalog.models[self.real.id]
        real, small = (_odd(model, self.component, scheme) for model in (self.real, twin))
        return small and not real


def _odd(model: Model, component: str, scheme: str) -> bool:
    inputs, numbers = BLOCKS.get(scheme, (1, 1))
    return any(
        m.kind == "linear" and m.weight and (m.weight[1] % inputs or math.prod(m.weight) % numbers)
        for m in component_shapes(model, component)
    )


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
