"""The time of a plan: its model, settings and schemes as the work and the run that are predicted.

What a model's shapes and its family say becomes a ``Work``; what the plan's schemes say, by their
timing class in data/methods, becomes a ``Run``. Encoders run once, whatever the steps.
"""

from __future__ import annotations

from functools import lru_cache

from quantlab.catalog.schema import Component, Model
from quantlab.catalog.sizes.decoding import covered, tiled
from quantlab.catalog.sizes.idle import passed_by
from quantlab.catalog.sizes.picture import Picture
from quantlab.catalog.sizes.shapes import component_shapes, shapes_of
from quantlab.catalog.sizes.weights import find_model
from quantlab.catalog.table import Catalog
from quantlab.catalog.time.streams import denoiser
from quantlab.catalog.time.values import (
    Denoiser,
    Encoder,
    Mode,
    Placement,
    Run,
    Work,
)
from quantlab.words.plan import Plan

__all__ = ["PLACEMENTS", "UNKNOWN", "run_of", "timed_as", "work_of"]

PLACEMENTS = {str(each): each for each in Placement}
"""By the words of catalog/placement.py."""
UNKNOWN = "untimed"
"""The class of a scheme whose file names none."""


def work_of(
    plan: Plan,
    model: Model,
    picture: Picture,
    catalog: Catalog,
    *,
    steps: int | None = None,
    guidance: float | None = None,
) -> Work:
    """What one call of ``plan`` does; None takes the model's default, and the picture's passes."""
    passes = picture.passes if guidance is None else 2 if model.guided(guidance) else 1
    count = steps or model.defaults.steps
    return _work(model.id, plan.parts, plan.dtype, plan.trimmed, picture, count, passes, catalog)


@lru_cache(maxsize=1024)
def _work(
    model_id: str,
    parts: tuple[tuple[str, str], ...],
    dtype: str | None,
    trimmed: bool,
    picture: Picture,
    steps: int,
    passes: int,
    catalog: Catalog,
) -> Work:
    """Kept, because a proposal asks for every plan in each placement, eager and compiled."""
    model, plan = find_model(model_id, catalog), Plan(parts, dtype)
    tokens = picture.sequence_length * picture.batch * passes
    family, p = model.family, picture
    components = [model.component(name) for name in family.encoders]
    encoders = [
        Encoder(_parameters(model.id, c, trimmed, catalog), tokens, _timing(plan, c, catalog))
        for c in components
        if c and c.name not in model.prompt_writers and not plan.leaves_out(c.name)
    ]
    frames = picture.frames
    return Work(
        denoiser=_denoiser(model.id, catalog),
        image_tokens=family.image_tokens(p.width, p.height, frames),
        text_tokens=p.sequence_length,
        steps=steps,
        decoded_pixels=_decoded(model, p),
        reference_tokens=family.reference_tokens(p.references),
        batch=p.batch,
        passes=passes,
        encoded_pixels=p.references * family.reference_area(p.references),
        encoders=tuple(encoders),
        frames=frames,
        writes_prompt=_writes_prompt(plan, model),
    )


def _decoded(model: Model, picture: Picture) -> int:
    """Pixels that are decoded; what tiles share is decoded in each."""
    side = tiled(model, picture)
    if side is None:
        return picture.pixels * picture.batch
    return covered(picture.width, side) * covered(picture.height, side) * picture.batch


def run_of(
    plan: Plan,
    model: Model,
    placement: str,
    moved_bytes: int,
    host_memory_suffices: bool,
    catalog: Catalog,
) -> Run:
    """How ``plan`` is run."""
    fp32 = (plan.dtype or model.base_dtype) == "fp32"
    return Run(
        timing=_timing(plan, model.components[0], catalog),
        mode=Mode.COMPILED if plan.compiled else Mode.EAGER,
        placement=PLACEMENTS[placement],
        dtype="fp32" if fp32 else "bf16",
        moved_bytes=moved_bytes,
        host_memory_suffices=host_memory_suffices,
        plan=str(plan),
    )


def timed_as(plan: Plan, catalog: Catalog) -> tuple[object, ...]:
    """All of ``plan`` that its predicted time depends on: plans by the hundred have few such."""
    held = ((name, scheme, catalog.schemes.get(scheme)) for name, scheme in plan.parts)
    classes = ((name, (known.timing,) if known else scheme) for name, scheme, known in held)
    return (plan.dtype, plan.compiled, plan.trimmed, *classes)


def _timing(plan: Plan, component: Component, catalog: Catalog) -> str:
    """The timing class of what the component is in; of a single file most of it."""
    if component.why_as_it_is and not component.file:
        return UNKNOWN
    held = component.held_as if component.why_as_it_is else plan.scheme(component.name)
    scheme = catalog.schemes.get(held or "")
    return scheme.timing if scheme is not None else UNKNOWN if component.held_as else "none"


def _writes_prompt(plan: Plan, model: Model) -> bool:
    """Whether a language model writes the prompt anew first."""
    return any(component.name in model.prompt_writers for component in model.used(plan))


@lru_cache(maxsize=64)
def _denoiser(model_id: str, catalog: Catalog) -> Denoiser | None:
    model = find_model(model_id, catalog)
    first = model.components[0]
    shapes = shapes_of(first.table)
    return denoiser((module.name, module.kind, module.weight) for module in shapes)


@lru_cache(maxsize=256)
def _parameters(model_id: str, component: Component, trimmed: bool, catalog: Catalog) -> int:
    """Of all that the text goes through; ``trimmed``, without the layers that change nothing."""
    shapes = component_shapes(find_model(model_id, catalog), component.name)
    return sum(module.numbers for module in shapes) - (passed_by(component) if trimmed else 0)
