"""How near an image, or a transformer's output, is to the reference's."""

from __future__ import annotations

from typing import Any

from quantlab.lab.libraries import resolve, torch
from quantlab.words.metrics import SCORES

__all__ = ["FLAT_STD", "compare_images", "image_array", "is_flat", "psnr", "relative_l2", "ssim"]

FLAT_STD = 1.0
"""An 8-bit image whose pixels spread less than this is called flat: nothing was drawn."""


def compare_images(image: Any, reference: Any) -> dict[str, float]:
    """The scores of two uint8 arrays of shape (height, width, 3), as saved, by key.

    Every row of ``words.metrics.SCORES`` that names a function; none where the images are
    identical, or the function knows no value.
    """
    if (image == reference).all():
        return {}
    found = {row.key: resolve(row.image)(image, reference) for row in SCORES if row.image}
    return {key: float(value) for key, value in found.items() if value is not None}


def psnr(image: Any, reference: Any) -> float:
    """10 log10(255^2 / MSE) in dB, by scikit-image."""
    found = resolve("skimage.metrics.peak_signal_noise_ratio")(reference, image, data_range=255)
    return float(found)


def ssim(image: Any, reference: Any) -> float:
    """SSIM after Wang et al. 2004 with scikit-image's defaults, a 7x7 window, averaged over the
    channels; 1 is equal."""
    found = resolve("skimage.metrics.structural_similarity")(
        reference, image, data_range=255, channel_axis=2
    )
    return float(found)


def image_array(image: Any) -> Any:
    """A PIL image as uint8 array of shape (height, width, 3)."""
    return resolve("numpy.asarray")(image.convert("RGB"))


def is_flat(image: Any) -> bool:
    """True where a uint8 image of shape (height, width, 3) shows one colour only."""
    return bool(image.reshape(-1, 3).std(axis=0).max() < FLAT_STD)


def relative_l2(output: Any, reference: Any) -> float:
    """||output - reference|| / ||reference|| of two tensors of one shape, in float64, on the host:
    not every device has float64.
    """
    a, b = (tensor.to("cpu").to(torch().float64) for tensor in (output, reference))
    return float((a - b).norm() / b.norm())
