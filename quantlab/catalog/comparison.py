"""Comparisons and plans of a model that exists: every part held against the catalogue."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from quantlab.catalog.loras import check_lora
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import InputError, PlanError
from quantlab.words.comparison import MAX_PLANS, MAX_PROMPT, MAX_SEED, Comparison
from quantlab.words.numbers import finite_number, show, size_of, whole
from quantlab.words.plan import DTYPE_SCHEMES, Plan

__all__ = ["check_prompt", "make_comparison", "parse_plan"]

MAX_GUIDANCE = 20.0


def parse_plan(text: str, model: Model, catalog: Catalog | None = None) -> Plan:
    """The plan of ``model`` that ``text`` says, its parts in the order of the model's components.

    Everything that can be known before loading is checked here: unknown components and schemes, and
    a scheme that does not exist for the component's library.

    Raises:
        PlanError: the text is not a plan for this model; the message names the part.
    """
    catalog = catalog or load_catalog()
    plan = Plan.read(text, model.denoiser)
    order = [c.name for c in model.components]
    for name, scheme_id in plan.parts:
        if name not in order:
            raise PlanError(f"{model.id} has no component {show(name)}; it has {', '.join(order)}")
        _check_scheme(scheme_id, name, model, catalog)
    return replace(plan, parts=tuple(sorted(plan.parts, key=lambda part: order.index(part[0]))))


def _check_scheme(scheme_id: str, component_name: str, model: Model, catalog: Catalog) -> None:
    if scheme_id in DTYPE_SCHEMES:
        if component_name != model.denoiser and scheme_id != model.base_dtype:
            raise PlanError(
                f"{scheme_id} on {component_name} alone: the pipeline hands tensors between its "
                f"parts in one dtype; use {scheme_id} for the whole pipeline"
            )
        return
    component = model.component(component_name)
    assert component is not None
    if component.stored_as:
        raise PlanError(
            f"{component_name} of {model.name} is stored quantized already "
            f"({component.stored_as}) and is used as it is"
        )
    scheme = catalog.schemes.get(scheme_id)
    if scheme is None:
        raise PlanError(f"unknown scheme {show(scheme_id)}; the Pick tab lists them all")
    reason = why_not(scheme, component.library, component.cls)
    if reason:
        raise PlanError(f"{scheme_id} cannot be used on {component_name}: {reason}")


def make_comparison(
    *,
    model: str = "flux-mini",
    plans: Sequence[str] = ("fp32", "bnb-nf4"),
    prompt: str,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    width: int | None = None,
    height: int | None = None,
    sequence_length: int | None = None,
    lora: str | None = None,
    lora_weight: float | None = None,
    catalog: Catalog | None = None,
) -> Comparison:
    """Check every part against the catalogue and its limits; None takes the model's default.

    Raises:
        InputError: names the part that is wrong and what is allowed.
    """
    catalog = catalog or load_catalog()
    known = catalog.models.get(model)
    if known is None:
        raise InputError("model", _unknown(model, catalog))
    if not 1 <= len(plans) <= MAX_PLANS:
        raise InputError("plans", f"{len(plans)} given; 1 to {MAX_PLANS} are allowed")
    d, limits = known.defaults, known.limits
    carried = check_lora(lora, lora_weight, known)
    size = (limits.min_size, limits.max_size)
    return Comparison(
        model=model,
        plans=tuple(parse_plan(text, known, catalog) for text in plans),
        prompt=check_prompt(prompt),
        seed=whole("seed", seed, 0, MAX_SEED),
        steps=whole("steps", d.steps if steps is None else steps, 1, limits.max_steps),
        guidance=_guidance(d.guidance if guidance is None else guidance),
        width=size_of("width", d.width if width is None else width, *size, limits.size_multiple),
        height=size_of(
            "height", d.height if height is None else height, *size, limits.size_multiple
        ),
        sequence_length=whole(
            "sequence-length",
            d.sequence_length if sequence_length is None else sequence_length,
            1,
            limits.max_sequence_length,
        ),
        lora=carried.name if carried else None,
        lora_weight=carried.weight if carried else 1.0,
    )


def _unknown(model: str, catalog: Catalog) -> str:
    return (
        f"unknown model {show(model)}; known: {', '.join(catalog.models)}. A model of one's own "
        f"is named at the start with --model, never by a link or a request"
    )


def check_prompt(prompt: str) -> str:
    """The prompt as it is.

    Raises:
        InputError: it is too long, or holds characters that are not text.
    """
    if not isinstance(prompt, str):
        raise InputError("prompt", "must be text")
    if len(prompt) > MAX_PROMPT:
        raise InputError("prompt", f"{len(prompt)} characters; at most {MAX_PROMPT} are allowed")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn") for char in prompt):
        raise InputError("prompt", "contains characters that are not text")
    return prompt


def _guidance(value: object) -> float:
    number = finite_number(value)
    if number is None or not 0 <= number <= MAX_GUIDANCE:
        raise InputError("guidance", f"{show(value)}; 0 to {MAX_GUIDANCE:g} are allowed")
    return float(number)
