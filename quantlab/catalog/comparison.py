"""Comparisons and plans of a model that exists: every part held against the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from quantlab.catalog.loras import check_lora
from quantlab.catalog.models.asked import check_for
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Model
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import InputError, PlanError
from quantlab.words.comparison import MAX_PLANS, SHIPPED, Comparison
from quantlab.words.numbers import show
from quantlab.words.plan import DTYPE_SCHEMES, LEFT_OUT, TRIMMED, Plan
from quantlab.words.settings import SETTINGS, Value

__all__ = ["make_comparison", "parse_plan", "to_predict"]


_LONGEST_ID = 64
"""Characters of a foreign id that are compared; no scheme has a longer one."""


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
    if plan.trimmed and not any(component.idle for component in model.used(plan)):
        raise PlanError(f"nothing of {model.name} is known to idle; leave {TRIMMED} away")
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
    if scheme_id == LEFT_OUT:
        if not component.optional:
            raise PlanError(f"{model.name} does not run without its {component_name}")
        return
    if component.why_as_it_is:
        raise PlanError(
            f"{component_name} of {model.name} {component.why_as_it_is}; nothing quantizes it here"
        )
    scheme = catalog.schemes.get(scheme_id)
    if scheme is None:
        raise PlanError(f"unknown scheme {show(scheme_id)}; {_nearest(scheme_id, catalog)}")
    reason = why_not(scheme, component.library, component.cls, component.table)
    if reason:
        raise PlanError(f"{scheme_id} cannot be used on {component_name}: {reason}")


def _nearest(scheme_id: str, catalog: Catalog) -> str:
    """The schemes that may be meant: those of which it is a part of the name, else the closest."""
    wanted = f"-{scheme_id[:_LONGEST_ID].lower()}-"
    found = [known for known in catalog.schemes if wanted in f"-{known}-"]
    found = found or get_close_matches(wanted.strip("-"), catalog.schemes, n=3, cutoff=0.5)
    return f"the nearest: {', '.join(found)}" if found else "pick names them all"


def make_comparison(
    *,
    model: str = SHIPPED,
    plans: Sequence[str] = ("fp32", "bnb-nf4"),
    catalog: Catalog | None = None,
    **given: Any,
) -> Comparison:
    """Check every part against the catalogue and its limits.

    ``given`` are values of settings by key (words/settings.py); None, and what is left out, takes
    the model's default.

    Raises:
        InputError: names the part that is wrong and what is allowed.
    """
    return _comparison(model, plans, given, MAX_PLANS, catalog or load_catalog())


def to_predict(
    model: str, plans: Sequence[str], given: Mapping[str, Any], catalog: Catalog | None = None
) -> Comparison:
    """As ``make_comparison``, of as many plans as are predicted at once; nothing runs them all.

    Raises:
        InputError: names the part that is wrong and what is allowed.
    """
    return _comparison(model, plans, given, MOST_PREDICTED, catalog or load_catalog())


def _comparison(
    model: str, plans: Sequence[str], given: Mapping[str, Any], most: int, catalog: Catalog
) -> Comparison:
    known = catalog.models.get(model)
    if known is None:
        raise InputError("model", _unknown(model, catalog))
    if not 1 <= len(plans) <= most:
        raise InputError("plans", f"{len(plans)} given; 1 to {most} are allowed")
    parsed = tuple(parse_plan(text, known, catalog) for text in plans)
    values = check_for(known, _values(known, given))
    if "reference" in values and not known.family.needs_reference:
        for plan in parsed:
            if plan.trimmed:
                raise InputError(
                    "plans", f"{plan}: what idles is known of text alone; leave {TRIMMED} away"
                )
    return Comparison.of(model, parsed, values)


def _values(model: Model, given: Mapping[str, Any]) -> dict[str, Value]:
    """The value of every setting that is given or has a default."""
    for key in given.keys() - {row.key for row in SETTINGS}:
        raise InputError(key.replace("_", "-"), "is no setting of a comparison")
    limits, defaults = vars(model.limits), vars(model.defaults)
    values: dict[str, Value] = {}
    for row in SETTINGS:
        value = given.get(row.key)
        if row.optional and (value == "" or (row.kind == "flag" and value is False)):
            value = None
        if row.goes_with and row.goes_with not in values:
            if value is not None:
                raise InputError(row.part, row.alone or f"goes with {row.goes_with}")
            continue
        if value is None:
            value = defaults[row.key] if row.from_model else row.default
        if value is not None and row.high in limits and limits[row.high] is None:
            raise InputError(row.part, f"{model.name} has none")
        if row.required and value is None:
            raise InputError(row.part, "is missing")
        if value is not None:
            listed = _LISTED.get(row.listed)
            values[row.key] = listed(value, model) if listed else row.read(value, limits)
    return values


_LISTED = {"loras": check_lora}
"""Checks of what the catalogue lists, by the name of the list."""


MOST_PREDICTED = 64
"""Plans that are predicted at once."""

NAMED = 8
"""Known models that a message names; a list of all would hide what it says."""


def _unknown(model: str, catalog: Catalog) -> str:
    """What is wrong, with the models whose ids are most like the one that is asked for."""
    near = get_close_matches(model[:42], catalog.models, n=NAMED, cutoff=0)
    more = f" and {len(catalog.models) - NAMED} more" if len(catalog.models) > NAMED else ""
    return (
        f"unknown model {show(model)}; known: {', '.join(near)}{more}. A model of one's "
        f"own is named at the start with --model, never by a link or a request"
    )
