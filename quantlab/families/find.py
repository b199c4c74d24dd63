"""Finding families: by listing the package, so that nobody has to register one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from quantlab.errors import CatalogError, InputError
from quantlab.families.family import Family

__all__ = ["families", "family_called", "family_of", "pipelines"]

_NO_FAMILY = ("family", "find", "sized")
"""The files of this package that hold no family."""


def families() -> Mapping[str, Family]:
    """Every family by its id, in the order of the files' names.

    Raises:
        CatalogError: a file of the package has no ``FAMILY``, or two share an id or a pipeline.
    """
    package = importlib.import_module(__package__)
    return _families(tuple(package.__path__))


@lru_cache(maxsize=4)
def _families(folders: tuple[str, ...]) -> Mapping[str, Family]:
    """Kept for the folders of the package, which grow where somebody adds one."""
    found: dict[str, Family] = {}
    classes: dict[str, str] = {}
    for name in sorted(info.name for info in pkgutil.iter_modules(folders)):
        if name in _NO_FAMILY:
            continue
        family = getattr(importlib.import_module(f"{__package__}.{name}"), "FAMILY", None)
        if not isinstance(family, Family):
            raise CatalogError(f"families/{name}.py: expected a Family that is called FAMILY")
        if family.id in found:
            raise CatalogError(f"families/{name}.py: the id {family.id!r} is taken")
        for cls in family.pipelines:
            if classes.setdefault(cls, family.id) != family.id:
                raise CatalogError(f"families/{name}.py: {cls} is {classes[cls]}'s already")
        found[family.id] = family
    return MappingProxyType(found)


def family_called(family_id: str) -> Family:
    """The family with that id.

    Raises:
        InputError: there is none; the message names those that there are.
    """
    known = families()
    if family_id not in known:
        raise InputError("family", f"unknown family {family_id[:40]!r}; known: {', '.join(known)}")
    return known[family_id]


def family_of(pipeline: str, *bases: str) -> Family:
    """The family of the pipelines of class ``pipeline``, or else of one of its base classes.

    Raises:
        InputError: none has such pipelines; the message names the classes that there are.
    """
    by_class = {cls: family for family in families().values() for cls in family.pipelines}
    for name in (pipeline, *bases):
        if name in by_class:
            return by_class[name]
    known = " and ".join(by_class)
    raise InputError("model", f"{pipeline[:60]} is of no family that is known; {known} are")


def pipelines() -> tuple[str, ...]:
    """The classes of pipelines that some family has, in the families' order."""
    return tuple(cls for family in families().values() for cls in family.pipelines)
