"""A plan: which scheme each component of a pipeline gets, as a value and as text.

The grammar, whole, with spaces allowed around every piece::

    plan      = body ["@trimmed"] ["@compiled"]
    body      = "fp32" | "bf16" | scheme | part *("," part)
    part      = component "=" scheme

Bare ``fp32`` and ``bf16`` mean the whole pipeline, any other bare scheme the denoiser. A trimmed
pipeline lets go of what idles as soon as it is read. This is the only place that reads or writes
it. Whether a model has the component and a scheme reaches it is checked by catalog/comparison.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from quantlab.errors import PlanError
from quantlab.words.numbers import show

__all__ = ["DENOISERS", "DTYPE_SCHEMES", "LEFT_OUT", "TRIMMED", "Plan", "without_marks"]

DTYPE_SCHEMES = ("fp32", "bf16")
"""Schemes of no method; bare, they mean the whole pipeline."""
LEFT_OUT = "none"
"""In the place of a scheme: the pipeline goes without the component, where it can."""
DENOISERS = ("transformer", "unet")
"""What pipelines call the component that a bare scheme means."""

TRIMMED = "@trimmed"
_COMPILED = "@compiled"
_COMPONENT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SCHEME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Plan:
    """Component -> scheme for one pipeline.

    ``dtype`` is "fp32" or "bf16" when the whole pipeline is asked for in it, else None: what
    ``parts`` does not name then keeps the model's base dtype.
    """

    parts: tuple[tuple[str, str], ...] = ()
    dtype: str | None = None
    compiled: bool = False
    trimmed: bool = False
    """Whether modules that no picture from text depends on are let go of once they are read."""

    @classmethod
    def read(cls, text: str, denoiser: str = DENOISERS[0]) -> Plan:
        """The plan that ``text`` says by its form alone, its parts in the order of the text.

        Raises:
            PlanError: the text is not a plan; the message names the part.
        """
        body, marks = without_marks(text)
        compiled, trimmed = _COMPILED in marks, TRIMMED in marks
        if not body:
            raise PlanError("is empty; name a scheme such as bnb-nf4")
        if body in DTYPE_SCHEMES:
            return cls(dtype=body, compiled=compiled, trimmed=trimmed)
        if "=" not in body:
            body = f"{denoiser}={body}"
        parts: dict[str, str] = {}
        for item in body.split(","):
            component, _, scheme = (piece.strip() for piece in item.partition("="))
            if not _COMPONENT.fullmatch(component):
                raise PlanError(f"no component is called {show(component)}")
            if component in parts:
                raise PlanError(f"{component} is named twice")
            if not _SCHEME.fullmatch(scheme):
                raise PlanError(f"unknown scheme {show(scheme)}; ids are like bnb-nf4")
            parts[component] = scheme
        return cls(tuple(parts.items()), compiled=compiled, trimmed=trimmed)

    def __str__(self) -> str:
        return self.text

    @cached_property
    def text(self) -> str:
        """The plan as people write it."""
        if self.dtype is not None:
            text = self.dtype
        elif len(self.parts) == 1 and self.parts[0][0] in DENOISERS:
            component, scheme = self.parts[0]
            text = f"{component}={scheme}" if scheme in DTYPE_SCHEMES else scheme
        else:
            text = ",".join(f"{component}={scheme}" for component, scheme in self.parts)
        return f"{text}{TRIMMED if self.trimmed else ''}{_COMPILED if self.compiled else ''}"

    def leaves_out(self, component: str) -> bool:
        """Whether the pipeline goes without ``component``."""
        return self.scheme(component) == LEFT_OUT

    def scheme(self, component: str) -> str | None:
        """The scheme named for ``component``, or None where it keeps the base dtype."""
        for name, scheme in self.parts:
            if name == component:
                return scheme
        return self.dtype


def without_marks(text: str) -> tuple[str, str]:
    """What a plan's text says of components, and the marks at its end, as they are written."""
    body, marks = text.strip(), ""
    for mark in (_COMPILED, TRIMMED):
        if body.endswith(mark):
            body, marks = body.removesuffix(mark).strip(), mark + marks
    return body, marks
