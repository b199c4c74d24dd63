"""Which components a scheme can be used on, by the rules of the libraries."""

from __future__ import annotations

from quantlab.catalog.schema import Scheme

__all__ = ["why_not"]


def why_not(scheme: Scheme, library: str, cls: str, shapes: str = "") -> str | None:
    """Why a scheme does not exist for a component of this library and class, or None.

    A quantization config must come from the component's own library; what else a method cannot
    reach stands in its file. ``shapes`` is the component's shape table; a mix goes with one only.
    """
    if not scheme.loadable:
        return scheme.note
    if scheme.shapes and scheme.shapes != shapes:
        return f"it names the layers of {scheme.shapes}"
    if cls == "AutoencoderKL" or cls.startswith("AutoencoderKL"):
        return "the autoencoder is convolutions, which these schemes leave alone"
    if library in scheme.unreachable:
        return scheme.unreachable[library]
    if not scheme.spec(library):
        return f"{library} has no config class for it"
    if scheme.only and cls not in scheme.only:
        return f"it is written for {' and '.join(scheme.only)} alone"
    return None
