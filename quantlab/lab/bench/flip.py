"""FLIP (Andersson et al. 2020): the difference that a person sees who flips between two images.

By NVIDIA's own package, flip-evaluator, which carries no weights. Low dynamic range, 67 pixels a
degree: a 0.7 m wide 3840 px screen seen from 0.7 m, the package's default.
"""

from __future__ import annotations

from typing import Any

from quantlab.lab.libraries import resolve

__all__ = ["flip", "flip_map"]


def flip(image: Any, reference: Any) -> float:
    """The mean of FLIP over the pixels of two uint8 arrays of shape (height, width, 3); 0 is
    equal, 1 the most."""
    return float(_evaluated(image, reference)[1])


def flip_map(image: Any, reference: Any) -> Any:
    """FLIP of each pixel, float32 of shape (height, width), 0 to 1."""
    return _evaluated(image, reference)[0].squeeze(-1)


def _evaluated(image: Any, reference: Any) -> Any:
    reference, image = ((pixels / 255.0).astype("float32") for pixels in (reference, image))
    return resolve("flip_evaluator.evaluate")(reference, image, "LDR", applyMagma=False)
