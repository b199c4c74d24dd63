"""Stage 2: train the autoencoder on random compositions.

Most steps see crops, which cost a quarter of a whole image and show as much variety; the rest
see whole images, so that borders and group statistics are those of use. The loss is
L1 + 4 x squared error + 0.5 x error of the image gradients + 1e-3 x KL, each a mean over
elements, pixels in -1 to 1.
"""

from __future__ import annotations

import argparse
import copy
import random
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from tools.flux_mini import model
from tools.flux_mini.data import Composition, contact_sheet, draw_composition, load_sprites
from tools.flux_mini.paths import WORK
from tools.flux_mini.training import Progress, Run, draw_for, learning_rate, noise_for

__all__ = ["CHECKPOINT", "load_averaged", "psnr_db", "to_pixels", "to_tensor", "unseen_batch"]

CHECKPOINT = "autoencoder.pt"
_CROP = 64
_WHOLE_SHARE = 0.35
_UNSEEN_SEED = 990_001


def to_tensor(images: list[NDArray[np.uint8]]) -> Tensor:
    """Images of shape (h, w, 3), 0 to 255, as a batch (n, 3, h, w), -1 to 1."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return batch.contiguous(memory_format=torch.channels_last)


def to_pixels(batch: Tensor) -> list[NDArray[np.uint8]]:
    """Inverse of to_tensor, clipped and rounded."""
    scaled = ((batch.detach().float().clamp(-1, 1) + 1.0) * 127.5).round().to(torch.uint8)
    return list(scaled.permute(0, 2, 3, 1).cpu().numpy())


def psnr_db(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two different 8-bit images, in dB (peak 255)."""
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float(10.0 * np.log10(255.0**2 / error))


def unseen_batch(sprites: NDArray[np.uint8], count: int) -> list[Composition]:
    """Fixed compositions of combinations that no training stage sees."""
    draw = random.Random(_UNSEEN_SEED)
    return [draw_composition(sprites, draw, unseen=True) for _ in range(count)]


def load_averaged(work: Path) -> AutoencoderKL:
    """Autoencoder with the averaged weights of the checkpoint, ready for use."""
    vae = model.autoencoder()
    state = torch.load(work / CHECKPOINT, weights_only=True)["averaged"]
    vae.load_state_dict({key.removeprefix("vae."): value for key, value in state.items()})
    return vae.eval()


def _gradient_error(error: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring errors: the error of the image gradients."""
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return across + down


def _loss(vae: nn.Module, batch: Tensor, noise: torch.Generator) -> Tensor:
    posterior = vae.encode(batch).latent_dist
    drawn = torch.randn(posterior.mean.shape, generator=noise).to(batch.device)
    decoded = vae.decode(posterior.mean + posterior.std * drawn).sample
    error = decoded - batch
    kl = 0.5 * (posterior.mean**2 + posterior.var - 1.0 - posterior.logvar).mean()
    pixels = error.abs().mean() + 4.0 * (error**2).mean() + 0.5 * _gradient_error(error)
    return pixels + 1e-3 * kl


def _batch(sprites: NDArray[np.uint8], draw: random.Random, step: int, steps: int) -> Tensor:
    """Eight crops of 64 x 64 in the first part of the schedule, four whole images after it."""
    if step >= steps * (1.0 - _WHOLE_SHARE):
        return to_tensor([draw_composition(sprites, draw).image for _ in range(4)])
    images = []
    for _ in range(8):
        image = draw_composition(sprites, draw).image
        # Multiples of eight keep latent cells aligned with those of a whole image.
        x, y = (8 * draw.randrange((model.IMAGE_SIZE - _CROP) // 8 + 1) for _ in range(2))
        images.append(image[y : y + _CROP, x : x + _CROP])
    return to_tensor(images)


def _report(vae: nn.Module, sprites: NDArray[np.uint8], device: str, work: Path) -> None:
    images = [unseen.image for unseen in unseen_batch(sprites, 24)]
    with torch.no_grad():
        latents = vae.encode(to_tensor(images).to(device)).latent_dist.mean
        decoded = to_pixels(vae.decode(latents).sample)
    scores = [psnr_db(a, b) for a, b in zip(images, decoded, strict=True)]
    print(f"PSNR on 24 unseen compositions: {np.mean(scores):.2f} dB", flush=True)
    pairs = [image for pair in zip(images[:12], decoded[:12], strict=True) for image in pair]
    contact_sheet(pairs, 8).save(work / "autoencoder.png")


def train(args: argparse.Namespace) -> None:
    """Train to args.steps, resuming from the checkpoint where there is one."""
    sprites = load_sprites(args.work)
    torch.manual_seed(args.seed)
    vae = model.autoencoder().to(args.device, memory_format=torch.channels_last)
    models = nn.ModuleDict({"vae": vae})
    optimizer = torch.optim.AdamW(vae.parameters(), lr=args.rate, betas=(0.9, 0.99))
    averaged = copy.deepcopy(models).requires_grad_(False)
    run = Run(models, averaged, optimizer, args.work / CHECKPOINT, decay=0.998)
    run.resume()
    progress = Progress(run, args.steps, args.work / "autoencoder-loss.png")
    while run.step < args.steps:
        rate = learning_rate(run.step, args.steps, args.rate, warmup=100)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = _batch(sprites, draw_for(args.seed, run.step), run.step, args.steps)
        loss = _loss(vae, batch.to(args.device), noise_for(args.seed, run.step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        run.step += 1
        run.average()
        progress.tick(float(loss.detach()))
        if run.step % 500 == 0 or run.step == args.steps:
            _report(averaged["vae"], sprites, args.device, args.work)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--work", type=Path, default=WORK, help="scratch folder")
    parser.add_argument("--steps", type=int, default=5000, help="length of the whole schedule")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
