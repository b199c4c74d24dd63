"""Columns of the Compare tab and the plans they stand for, both ways, and what each may choose.

A column has a chooser for the transformer and one for the model's last text encoder (T5 in Flux).
A plan that says more than those two can is kept whole, as text, in the first chooser.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from quantlab.catalog.answer.pick import nearest
from quantlab.catalog.comparison import make_comparison
from quantlab.catalog.machine import here, this_machine
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Component, Model
from quantlab.catalog.table import Catalog
from quantlab.words.comparison import Comparison
from quantlab.words.plan import DTYPE_SCHEMES, Plan

__all__ = [
    "PROMPT",
    "START",
    "Column",
    "choices",
    "column_of",
    "encoder_of",
    "first_comparison",
    "nearest_plan",
    "plan_text",
]

START = ("fp32", "bnb-nf4", "torchao-int8wo")
PROMPT = "a dog face on a blue background"
"""What the tab starts with, on flux-mini."""
Choice = tuple[str, str]
BASE = ""
"""The encoder's choice that leaves it as the model has it."""


def first_comparison() -> Comparison:
    """What the tab starts with."""
    return make_comparison(plans=START, prompt=PROMPT)


@dataclass(frozen=True)
class Column:
    """What the two choosers of a column hold."""

    transformer: str
    encoder: str = BASE


def encoder_of(model: Model) -> Component:
    """The text encoder that a column can choose for: the last one, which is the large one."""
    assert model.encoder is not None
    return model.encoder


def plan_text(column: Column, model: Model) -> str:
    """The text of the plan that a column stands for; whether it is valid is not judged here."""
    first = (column.transformer or model.base_dtype).strip()
    if not column.encoder or any(sign in first for sign in "=,@"):
        return first
    return f"{model.denoiser}={first},{encoder_of(model).name}={column.encoder}"


def column_of(plan: Plan, model: Model) -> Column:
    """The choosers' values that stand for ``plan``: ``plan_text`` gives its text back."""
    first, encoder = model.denoiser, encoder_of(model).name
    parts = dict(plan.parts)
    if set(parts) == {first, encoder} and Plan(plan.parts) == plan:
        return Column(parts[first], parts[encoder])
    return Column(str(plan))


def choices(model: Model, component: Component, catalog: Catalog) -> list[Choice]:
    """Label and id of each scheme that exists for ``component``, those that run here first."""
    whole = component.name == model.denoiser
    plain = [(f"{dtype}, whole pipeline", dtype) for dtype in DTYPE_SCHEMES] if whole else []
    machine = this_machine()
    here_now, elsewhere = [], []
    for scheme in catalog.schemes.values():
        if why_not(scheme, component.library, component.cls, component.table):
            continue
        found = here(scheme, catalog.methods[scheme.method], machine, model)
        label = f"{scheme.id}, {scheme.bits:g} bit"
        if found == "ok":
            here_now.append((label, scheme.id))
        else:
            elsewhere.append((f"{label}, not here", scheme.id))
    base = [] if whole else [(f"unchanged ({model.base_dtype})", BASE)]
    return [*base, *plain, *here_now, *elsewhere]


def nearest_plan(plan: Plan, model: Model, catalog: Catalog) -> str | None:
    """The text of the nearest plan that this machine can run, None where it is ``plan`` itself."""
    parts = []
    for name, scheme_id in plan.parts:
        component = model.component(name)
        near = nearest(scheme_id, catalog=catalog) if scheme_id in catalog.schemes else scheme_id
        if near is None or component is None:
            return None
        scheme = catalog.schemes.get(near)
        where = (component.library, component.cls, component.table)
        if scheme is not None and why_not(scheme, *where):
            return None
        parts.append((name, near))
    other = replace(plan, parts=tuple(parts), compiled=False)
    return None if other == plan else str(other)
