"""The latents that the flow learns: every combination of training, encoded once and kept."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from tools.flux_mini.autoencoder import to_tensor
from tools.flux_mini.compose import compose, draw_jitter
from tools.flux_mini.concepts import BACKGROUNDS, CONCEPTS, held_out
from tools.flux_mini.data import load_sprites

__all__ = ["Latents", "cached_latents", "pack"]

_FILE = "latents.pt"
_JITTERS = 8


@dataclass(frozen=True)
class Latents:
    """Normalised latents and what they show.

    `packed` has shape (items, 64, 64): 8 x 8 patches of 2 x 2 x 16 values, unit variance.
    `concepts` holds indices into CONCEPTS, `colours` into BACKGROUNDS, one per item.
    """

    packed: Tensor
    concepts: list[int]
    colours: list[int]
    scaling_factor: float
    shift_factor: float


def pack(latents: Tensor) -> Tensor:
    """Latents (n, 16, 16, 16) in Flux's order of patches, (n, 64, 64)."""
    n, channels, height, width = latents.shape
    cells = latents.reshape(n, channels, height // 2, 2, width // 2, 2)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(n, height * width // 4, channels * 4)


def cached_latents(work: Path, vae: AutoencoderKL, seed: int, device: str) -> Latents:
    """Latents of all training combinations, read from the scratch folder or encoded now.

    Delete latents.pt after training the autoencoder further.
    """
    file = work / _FILE
    if not file.exists():
        torch.save(_encode(work, vae.to(device), seed, device), file)
    return Latents(**torch.load(file, weights_only=True))


def _encode(work: Path, vae: AutoencoderKL, seed: int, device: str) -> dict[str, object]:
    sprites = load_sprites(work)
    draw = random.Random(f"latents/{seed}")
    concepts, colours, parts = [], [], []
    for index in range(len(CONCEPTS)):
        images = []
        for number, colour in enumerate(BACKGROUNDS):
            if colour in held_out(index):
                continue
            for _ in range(_JITTERS):
                images.append(compose(sprites[index], colour, draw_jitter(draw)))
                concepts.append(index)
                colours.append(number)
        with torch.no_grad():
            for start in range(0, len(images), 8):
                batch = to_tensor(images[start : start + 8]).to(device)
                parts.append(vae.encode(batch).latent_dist.mean.cpu())
        if index % 12 == 11:
            print(f"encoded {index + 1}/{len(CONCEPTS)} concepts", flush=True)
    latents = torch.cat(parts)
    shift, scale = float(latents.mean()), 1.0 / float(latents.std())
    return {
        "packed": pack((latents - shift) * scale).contiguous(),
        "concepts": concepts,
        "colours": colours,
        "scaling_factor": float(np.float32(scale)),
        "shift_factor": float(np.float32(shift)),
    }
