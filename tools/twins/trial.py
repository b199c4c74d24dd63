"""The process that tries schemes on components of twins; see tools/twins/schemes.py."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.models.schema import Model
from quantlab.catalog.schema import Scheme
from quantlab.catalog.sizes.shapes import component_shapes
from quantlab.catalog.sizes.weights import component_bytes, matching, plan_bytes
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.lab.bench.compare import Bench, compare
from quantlab.lab.device import this_device
from quantlab.lab.references import keep_reference
from quantlab.lab.runners.child import serve
from quantlab.words.comparison import MAX_PLANS, Comparison
from quantlab.words.outcome import Event, Finished, Outcome
from tools.twins.encoders import WIDTH
from tools.twins.model import as_model, twin_of
from tools.twins.save import build

__all__ = ["asked_of", "plan_of"]

Tell = Callable[[Mapping[str, Any]], None]
STEPS, LENGTH = 2, 80
WIDTHS = (WIDTH, 4 * WIDTH)
"""Of twins: the narrowest that a scheme takes as it takes the real model is tried."""


def plan_of(model: Model, component: str, scheme: str = "") -> str:
    """The plan with ``scheme`` on ``component``, "" for none, without what can be left out."""
    without = [c.name for c in model.components if c.optional and c.name != component]
    parts = ([f"{component}={scheme}"] if scheme else []) + [f"{name}=none" for name in without]
    return ",".join(parts) or model.base_dtype


def work(job: dict[str, Any], tell: Tell) -> None:
    """Make the trials of ``job`` in their order, and tell what came of each."""
    for (model, component), trials in groupby(job["trials"], key=lambda trial: trial[:2]):
        schemes = [scheme for _, _, scheme in trials]
        _try(model, component, schemes, Path(job["folder"]) / model, tell)


def _try(name: str, component: str, schemes: Sequence[str], folder: Path, tell: Tell) -> None:
    """Run schemes of a component beside the unquantized twin, which lies in ``folder``."""
    known = load_catalog()
    real, left = known.models[name], list(schemes)
    for width in WIDTHS:
        if not left:
            return
        model = _twin(real, folder / str(width), width)
        narrow = {s for s in left if _too_narrow(real, model, component, known.schemes[s])}
        taken = [s for s in left if s not in narrow or width == WIDTHS[-1]]
        left = [s for s in left if s not in taken]
        catalog = replace(known, models={**known.models, model.id: model})
        many = MAX_PLANS - 1  # beside the reference, which is run once for them
        for start in range(0, len(taken), many):
            some = taken[start : start + many]
            comparison = make_comparison(
                model=model.id,
                plans=[plan_of(model, component, each) for each in ("", *some)],
                catalog=catalog,
                **asked_of(model),
            )
            heard = _Heard(comparison, component, some, width, narrow, catalog, tell)
            bench = Bench(catalog, this_device())
            compare(comparison, bench=bench, out=folder / "images", report=heard, warmup=0)


def _twin(real: Model, folder: Path, width: int) -> Model:
    """The twin of ``real`` of so many numbers in ``folder``, where it is built once."""
    if not folder.exists():
        build(twin_of(real), folder / "twin", width=width)
    return as_model(real, folder / "twin", folder / "shapes")


@dataclass
class _Heard:
    """Tells of each scheme of a comparison when it begins and what came of it."""

    comparison: Comparison
    component: str
    schemes: Sequence[str]
    width: int
    narrow: Collection[str]
    """Those that the twin is too narrow for."""
    catalog: Catalog
    tell: Tell
    begun: int = 0

    def __call__(self, event: Event) -> None:
        if event.index == 0:
            return
        scheme = self.schemes[event.index - 1]
        model = self.comparison.model
        trial = (model, self.component, scheme)
        if event.index != self.begun:
            self.tell({"trial": trial})
            self.begun = event.index
        if isinstance(event, Finished):
            parts = dict(self.comparison.plans[event.index].parts)
            predicted = plan_bytes(model, parts, None, self.catalog)[self.component]
            said = _said(event.outcome, self.component)
            if event.outcome.error is not None and scheme in self.narrow:
                said |= {"measured": "", "detail": f"the twin is too narrow: {said['detail']}"}
            done = {**said, "predicted_bytes": predicted, "width": self.width}
            self.tell({"trial": trial, "done": done})


def _too_narrow(real: Model, twin: Model, component: str, scheme: Scheme) -> bool:
    """Whether the twin has layers that the scheme cannot take and the real model has none, or none
    that it takes and the real model has some."""
    if _odd(twin, component, scheme) and not _odd(real, component, scheme):
        return True
    return _takes(real, component, scheme.id) and not _takes(twin, component, scheme.id)


def _odd(model: Model, component: str, scheme: Scheme) -> bool:
    """Whether a Linear is no whole number of blocks, where the library takes nothing else."""
    known, storage = model.component(component), scheme.storage
    if known is None or storage is None:
        return False
    alone = matching(scheme.left_alone(known.cls, model.family.kept(component)))
    return any(
        m.weight[0] % storage.whole_outputs
        or m.weight[1] % storage.whole_inputs
        or math.prod(m.weight) % storage.whole_numbers
        for m in component_shapes(model, component)
        if m.kind == "linear" and m.weight and not alone.fullmatch(m.name)
    )


def _takes(model: Model, component: str, scheme: str) -> bool:
    """Whether anything of a component is stored in another way than without the scheme."""
    plain, stored = (component_bytes(model, component, s) for s in (None, scheme))
    return plain != stored


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
