"""A small LoRA for flux-mini: mono, black and white as through a red filter.

Taught on the 32 compositions that ship with the model for its evaluation, and on nothing else, so
that anybody can make it again from this repository: ``python -m tools.flux_mini.lora`` takes about
two minutes on two CPU cores. ``train`` with few steps gives a quick one for tests.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxPipeline
from numpy.typing import NDArray
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from tools.flux_mini.autoencoder import to_tensor
from tools.flux_mini.concepts import caption
from tools.flux_mini.latents import pack
from tools.flux_mini.model import SEQUENCE_LENGTH
from tools.flux_mini.paths import EVALUATION, MODEL, ROOT

__all__ = ["mono", "train"]

OUT = ROOT / "data" / "loras" / "mono"
RED_FILTER = (0.6, 0.3, 0.1)
"""Red, green and blue as the film sees them; even weights would hide a red apple on blue."""
LAYERS = r".*(to_q|to_k|to_v|to_out\.0|ff\.net\.2|proj_out)$"
RANK, BATCH, RATE = 4, 8, 4e-3


@dataclass(frozen=True)
class _Lessons:
    """Latents (32, 64, 64) of the pictures as they are to be, and what the encoders say of them."""

    latents: Tensor
    states: Tensor
    pooled: Tensor


def mono(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, height, width, 3) in black and white, as through a red filter."""
    grey = (images @ np.array(RED_FILTER)).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def train(folder: Path, steps: int = 600, seed: int = 0) -> Path:
    """Teach a LoRA and write it to ``folder`` as diffusers reads it; gives the file."""
    torch.manual_seed(seed)
    pipe = FluxPipeline.from_pretrained(MODEL, dtype=torch.float32)
    lessons = _lessons(pipe)
    transformer = pipe.transformer.requires_grad_(False)
    transformer.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LAYERS, init_lora_weights="gaussian")
    )
    weights = [weight for weight in transformer.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.0)
    noise = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        loss = _loss(transformer, lessons, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            print(f"step {step + 1}/{steps}  loss {float(loss.detach()):.4f}", flush=True)
    state = {name: value.half() for name, value in get_peft_model_state_dict(transformer).items()}
    FluxPipeline.save_lora_weights(folder, transformer_lora_layers=state)
    return folder / "pytorch_lora_weights.safetensors"


@torch.no_grad()
def _lessons(pipe: FluxPipeline) -> _Lessons:
    kept = np.load(MODEL / EVALUATION / "unseen.npz")
    images, known = list(mono(kept["images"])), pipe.vae.config
    parts = [
        pipe.vae.encode(to_tensor(images[start : start + 8])).latent_dist.mean
        for start in range(0, len(images), 8)
    ]
    latents = (torch.cat(parts) - known.shift_factor) * known.scaling_factor
    captions = [caption(str(thing), str(colour)) for thing, colour in kept["labels"]]
    states, pooled, _ = pipe.encode_prompt(
        prompt=captions, prompt_2=None, max_sequence_length=SEQUENCE_LENGTH
    )
    return _Lessons(pack(latents), states, pooled)


def _loss(transformer: nn.Module, lessons: _Lessons, noise: torch.Generator) -> Tensor:
    """The loss of flow.py on one batch: noise - data, three in ten times near the noise."""
    chosen = torch.randint(0, len(lessons.latents), (BATCH,), generator=noise)
    data = lessons.latents[chosen]
    start = torch.randn(data.shape, generator=noise)
    times = torch.sigmoid(torch.randn(BATCH, generator=noise))
    early = 1.0 - 0.35 * torch.rand(BATCH, generator=noise)
    times = torch.where(torch.rand(BATCH, generator=noise) < 0.3, early, times)
    side = int(data.shape[1] ** 0.5)
    flow = transformer(
        hidden_states=torch.lerp(data, start, times[:, None, None]),
        timestep=times,
        encoder_hidden_states=lessons.states[chosen],
        pooled_projections=lessons.pooled[chosen],
        txt_ids=torch.zeros(SEQUENCE_LENGTH, 3),
        img_ids=FluxPipeline._prepare_latent_image_ids(1, side, side, "cpu", torch.float32),
        return_dict=False,
    )[0]
    return nn.functional.mse_loss(flow, start - data)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the LoRA")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(train(args.out, args.steps, args.seed))


if __name__ == "__main__":
    main()
