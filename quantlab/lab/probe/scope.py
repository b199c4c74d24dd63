"""What a probe covers: which schemes can be tried on a component here, and why others cannot.

Reads the catalogue and what is installed; imports none of the libraries.
"""

from __future__ import annotations

from quantlab.catalog.machine import Machine, here, in_words, library_here, this_machine
from quantlab.catalog.reach import why_not
from quantlab.catalog.schema import Component, Model, Scheme
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import InputError
from quantlab.lab.probe.probe import CAPABILITIES, Probed, documented
from quantlab.words.comparison import SHIPPED

__all__ = ["capabilities_of", "chosen", "left_out", "schemes_here"]

ON_ENCODERS = ("load", "run")
"""The others look at the transformer's own output and training."""


def schemes_here(component: str = "transformer", catalog: Catalog | None = None) -> list[str]:
    """Ids of the schemes that can be tried on flux-mini's ``component`` on this machine.

    Raises:
        InputError: the model has no such component.
    """
    catalog = catalog or load_catalog()
    return [s for s, reason in _reasons(component, catalog, this_machine()).items() if not reason]


def left_out(
    component: str = "transformer",
    catalog: Catalog | None = None,
    machine: Machine | None = None,
) -> list[Probed]:
    """A skipped cell for each scheme that cannot be tried here, with the reason.

    Raises:
        InputError: the model has no such component.
    """
    catalog = catalog or load_catalog()
    reasons = _reasons(component, catalog, machine or this_machine())
    return [
        Probed(
            scheme=name,
            capability="load",
            documented=documented(catalog.schemes[name], "load", catalog),
            measured="skipped",
            detail=reason,
            seconds=0.0,
            component=component,
        )
        for name, reason in reasons.items()
        if reason
    ]


def capabilities_of(scheme: str, component: str, catalog: Catalog | None = None) -> tuple[str, ...]:
    """What is tried of ``scheme`` on ``component``.

    A scheme without a way of loading is asked of its library once: that answers for all the rest.
    """
    if not (catalog or load_catalog()).schemes[scheme].loadable:
        return ("load",)
    return CAPABILITIES if component == "transformer" else ON_ENCODERS


def chosen(
    names: list[str] | None, component: str = "transformer", catalog: Catalog | None = None
) -> list[str]:
    """Those of ``names`` that can be tried here, or all of them where it is None.

    Raises:
        InputError: a scheme is unknown.
    """
    catalog = catalog or load_catalog()
    reasons = _reasons(component, catalog, this_machine())
    for name in names or ():
        if name not in reasons:
            raise InputError("schemes", f"unknown scheme {name[:40]!r}")
    wanted = reasons if names is None else dict.fromkeys(names)
    return [name for name in wanted if not reasons[name]]


def _reasons(component: str, catalog: Catalog, machine: Machine) -> dict[str, str]:
    """Scheme -> why it cannot be tried, or an empty text."""
    model = catalog.models[SHIPPED]
    part = model.component(component)
    if part is None:
        names = ", ".join(c.name for c in model.components)
        raise InputError("component", f"{component[:40]!r} is not one of {names}")
    return {s.id: _reason(s, part, catalog, machine, model) for s in catalog.schemes.values()}


def _reason(
    scheme: Scheme, part: Component, catalog: Catalog, machine: Machine, model: Model
) -> str:
    method = catalog.methods[scheme.method]
    if scheme.layers:
        return "a mix: the schemes it is made of are tried by themselves"
    if not scheme.loadable and part.library == "transformers" and scheme.transformers:
        # Where its library is here, the library itself is asked (probe/subject.py).
        said = library_here(scheme, method, machine, model)
    elif refused := why_not(scheme, part.library, part.cls):
        return refused
    else:
        said = here(scheme, method, machine, model)
    if said == "ok":
        return ""
    text = in_words(said).removeprefix("refused: ")
    return text if scheme.note in ("", text) else f"{text}; {scheme.note}"
