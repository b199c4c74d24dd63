"""How near an image, or a transformer's output, is to the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quantlab.lab.libraries import resolve, torch

__all__ = ["FLAT_STD", "Fidelity", "compare_images", "image_array", "is_flat", "relative_l2"]

FLAT_STD = 1.0
"""An 8-bit image whose pixels spread less than this is called flat: nothing was drawn."""


@dataclass(frozen=True)
class Fidelity:
    """PSNR in dB and SSIM (1 is equal) of two 8-bit images; None where they are identical."""

    psnr_db: float | None
    ssim: float | None


def compare_images(image: Any, reference: Any) -> Fidelity:
    """Compare two uint8 arrays of shape (height, width, 3), as saved.

    PSNR = 10 log10(255^2 / MSE); SSIM after Wang et al. 2004 with scikit-image's defaults, a 7x7
    window, averaged over the channels. Both by scikit-image.
    """
    if (image == reference).all():
        return Fidelity(None, None)
    metrics = "skimage.metrics"
    psnr = resolve(f"{metrics}.peak_signal_noise_ratio")(reference, image, data_range=255)
    ssim = resolve(f"{metrics}.structural_similarity")(
        reference, image, data_range=255, channel_axis=2
    )
    return Fidelity(float(psnr), float(ssim))


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
