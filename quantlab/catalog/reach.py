"""Which components a scheme can be used on, by the rules of the libraries."""

from __future__ import annotations

from quantlab.catalog.schema import Scheme

__all__ = ["why_not"]


def why_not(scheme: Scheme, library: str, cls: str) -> str | None:
    """Why a scheme does not exist for a component of this library and class, or None.

    Rules from the libraries: a quantization config must come from the component's own library,
    GGUF files are read by diffusers' models only, layerwise casting is a method of diffusers'
    models.
    """
    if scheme.way == "none":
        return scheme.note or "quantlab has no way of loading it"
    if cls == "AutoencoderKL" or cls.startswith("AutoencoderKL"):
        return "the autoencoder is convolutions, which these schemes leave alone"
    if scheme.way == "gguf" and library != "diffusers":
        return "GGUF is read through from_single_file of a diffusers model; transformers is not one"
    if scheme.way == "layerwise" and library != "diffusers":
        return "layerwise casting is a method of diffusers models"
    if scheme.way == "config" and library == "diffusers" and scheme.diffusers is None:
        return "diffusers has no config class for it"
    if scheme.way == "config" and library == "transformers" and scheme.transformers is None:
        return "transformers has no config class for it"
    return None
