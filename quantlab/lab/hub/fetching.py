"""Having a model's files here before a component is read: base weights, GGUF or ready ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quantlab.catalog.paths import PROJECT
from quantlab.catalog.schema import Model, Scheme
from quantlab.lab.hub import snapshot as hub
from quantlab.lab.hub.ready import fetch_ready
from quantlab.lab.libraries import device
from quantlab.lab.ways.gguf_files import gguf_file

__all__ = ["by_library", "fetch", "refused_here"]

Say = Callable[[str], None]


def by_library(scheme: Scheme, library: str, target: str) -> bool:
    """True where diffusers refuses on device ``target`` what the library itself can do."""
    return library == "diffusers" and scheme.on_cpu == "library" and target == "cpu"


def refused_here(model: Model, name: str, scheme: Scheme) -> bool:
    """Whether diffusers refuses the scheme for a component on this machine's device."""
    component = model.component(name)
    return component is not None and by_library(scheme, component.library, device())


def fetch(model: Model, wanted: Mapping[str, Scheme | None], say: Say) -> str:
    """The folder of a model's files, complete for ``wanted``: component -> scheme to load it in.

    Raises:
        LoadError, Unavailable: as ``hub.snapshot`` does.
    """
    if model.local:
        return str(PROJECT / model.source)
    base = set()
    for name, scheme in wanted.items():
        if scheme is not None and scheme.way == "gguf":
            gguf_file(model, name, scheme, say)
        elif (
            scheme is None
            or refused_here(model, name, scheme)
            or not fetch_ready(model, name, scheme, say)
        ):
            base.add(name)
    return str(hub.snapshot(model, base, say))
