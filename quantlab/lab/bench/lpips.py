"""LPIPS (Zhang et al. 2018): how far two images are for a network trained to name things.

By its authors' package, with AlexNet, as most papers have it. An optional extra: the weights that
LPIPS itself learnt come with the package, those of AlexNet (233 MB) must be fetched once. Nothing
is fetched from here; where the package or the weights are missing there is no score.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quantlab.errors import Unavailable
from quantlab.lab.libraries import load, resolve, torch

__all__ = ["FETCH", "WEIGHTS", "lpips", "unmeasured"]

WEIGHTS = "alexnet-owt-7be5be79.pth"
"""What torchvision calls AlexNet's weights in the cache of torch.hub."""
FETCH = 'python -c "import lpips; lpips.LPIPS()"'
"""Fetches them."""


def unmeasured() -> str:
    """Why it is not measured where the extra is installed, and what to do; else ""."""
    if not _installed():
        return ""
    if not _weights().is_file():
        return f"LPIPS is not measured: the weights of its network, 233 MB, are fetched by {FETCH}"
    said = _broken()
    where = "torchvision must be of the same build as torch, from the same index"
    return f"LPIPS is not measured: {said}; {where}" if said else ""


def lpips(image: Any, reference: Any) -> float | None:
    """LPIPS of two uint8 arrays of shape (height, width, 3); 0 is equal. None where there is no
    package or no weights, or where
    it cannot be imported."""
    if not _installed() or not _weights().is_file() or _broken():
        return None
    pixels = (_tensor(each) for each in (image, reference))
    with torch().no_grad():
        return float(_network(str(_weights()))(*pixels))


def _installed() -> bool:
    return all(find_spec(package) is not None for package in ("lpips", "torchvision"))


@functools.lru_cache(maxsize=1)
def _broken() -> str:
    """Why torchvision or the package cannot be imported; "" where both can."""
    try:
        load("torchvision")
        load("lpips")
    except Unavailable as error:
        return str(error)
    return ""


def _weights() -> Path:
    return Path(torch().hub.get_dir(), "checkpoints", WEIGHTS)


@functools.lru_cache(maxsize=1)
def _network(weights: str) -> Any:  # noqa: ARG001 - another file is another network
    return resolve("lpips.LPIPS")(net="alex", verbose=False).eval()


def _tensor(image: Any) -> Any:
    """As the network wants it: float32 of shape (1, 3, height, width), -1 to 1."""
    return torch().from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
