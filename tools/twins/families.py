"""Which twin each family has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tools.twins import flux, qwen, stable
from tools.twins.save import Twin

__all__ = ["FAMILIES"]

FAMILIES: Mapping[str, Callable[[int], Twin]] = {
    "flux1": flux.flux1,
    "flux1-kontext": flux.flux1_kontext,
    "flux2": flux.flux2,
    "flux2-klein": flux.flux2_klein,
    "flux3": flux.flux3,
    "flux3-base": partial(flux.flux3, distilled=False),
    "z-image": qwen.z_image,
    "krea-2": qwen.krea_2,
    "qwen-image": qwen.qwen_image,
    "qwen-image-edit": qwen.qwen_image_edit,
    "qwen-image-2.1": qwen.qwen_image_21,
    "chroma": stable.chroma,
    "ernie-image": qwen.ernie_image,
    "sdxl": stable.sdxl,
    "sd3": stable.sd3,
    "wan": stable.wan,
}
"""FLUX.3 has two, since its distilled and its base pipelines are of two classes."""
