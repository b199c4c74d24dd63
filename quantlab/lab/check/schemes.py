"""Which schemes a pipeline holds, or a component that is loaded by itself."""

from __future__ import annotations

from collections.abc import Mapping

from quantlab.catalog.schema import Scheme
from quantlab.lab.check.plan import parts_of
from quantlab.lab.check.uses import Code, Load

__all__ = ["schemes_of"]


def schemes_of(code: Code, load: Load) -> Mapping[str, Scheme]:
    """Component -> scheme of the catalogue, of those that are known; "" is the component itself."""
    if load.call not in code.schemes:
        code.schemes[load.call] = _told(code, load)
    return code.schemes[load.call]


def _told(code: Code, load: Load) -> Mapping[str, Scheme]:
    return {
        name: code.catalog.schemes[scheme]
        for name, scheme in parts_of(code, load).items()
        if scheme in code.catalog.schemes
    }
