"""What a way is: how a scheme gets onto a component, from its files to the lines of a script.

Each way is one file in lab/ways with a ``WAY``; a scheme names it in its TOML by the file's name,
in kebab-case. Nothing is registered: the folder is the list.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar

from quantlab.catalog.schema import Method
from quantlab.errors import PlanError
from quantlab.lab import ways as folder
from quantlab.lab.load.part import Loaded, Part
from quantlab.lab.script.script import Script

__all__ = ["Way", "way_of", "ways"]


class Way(ABC):
    """One way. What it says no word about is as most ways have it."""

    by_config: ClassVar[bool] = True
    """Whether what it builds from the scheme's description is a quantization config."""
    fuses: ClassVar[bool] = True
    """Whether it starts from base weights, so that a LoRA can be fused into them before."""
    quantizes: ClassVar[bool] = True
    """Whether loading takes the work of quantizing, so that the outcome is worth keeping."""

    def stands_in(self, part: Part) -> bool:  # noqa: ARG002
        """Whether it is taken for ``part`` although the scheme names another."""
        return False

    def why_not(self, part: Part) -> str | None:  # noqa: ARG002
        """Why it cannot load ``part`` on its device, beyond what the catalogue says; or None."""
        return None

    def whole_blocks(self, part: Part) -> bool:  # noqa: ARG002
        """Whether ``torch.compile`` can take a block of ``part`` in one graph (``fullgraph``)."""
        return True

    def fetch(self, part: Part, say: Callable[[str], None]) -> bool:  # noqa: ARG002
        """Have its own files here; True where the component's base weights are needed too.

        Raises:
            LoadError, Unavailable: as ``hub.file`` does.
        """
        return True

    @abstractmethod
    def load(self, part: Part) -> Loaded:
        """The module, quantized; ``part.base`` has all files here.

        Whatever a library raises may leave it: the caller turns it into a LoadError.
        """

    def write(self, part: Part, script: Script) -> None:  # noqa: ARG002
        """Add the lines that do the same without quantlab.

        Raises:
            PlanError: there are none, as where a way does not say.
        """
        name, scheme = part.component.name, part.scheme
        raise PlanError(f"no script is known for {scheme.id if scheme else 'this'} on {name}")

    def why_not_saved(self, part: Part, method: Method) -> str | None:
        """Why what it loads cannot be saved and loaded again by the libraries alone, or None.

        The catalogue's "serializable" decides. "partial" is taken for yes with diffusers only:
        there the save is tried and read back before it counts.
        """
        cell = method.cell("serializable", part.scheme)
        if cell.value == "yes" or (cell.value == "partial" and self._diffusers(part)):
            return None
        return cell.note or f"{method.name} does not save what it quantizes ({cell.source})"

    @staticmethod
    def _diffusers(part: Part) -> bool:
        return part.component.library == "diffusers"


def way_of(part: Part) -> Way:
    """The way by which ``part`` is loaded on its device.

    Raises:
        PlanError: the scheme has none.
    """
    known = ways()
    for way in known.values():
        if way.stands_in(part):
            return way
    scheme = part.scheme
    if scheme is None:
        return known["cast" if part.own_dtype else "plain"]
    if scheme.way is None:
        raise PlanError(f"{scheme.id} cannot be loaded: {scheme.note}")
    return known[scheme.way]


def ways() -> Mapping[str, Way]:
    """Every way by its id, the files in lab/ways in the order of their names."""
    return _ways(tuple(folder.__path__))


@lru_cache(maxsize=8)
def _ways(places: tuple[str, ...]) -> Mapping[str, Way]:
    names = sorted(module.name for module in pkgutil.iter_modules(places))
    modules = {name: importlib.import_module(f"{folder.__name__}.{name}") for name in names}
    return {name.replace("_", "-"): module.WAY for name, module in modules.items()}
