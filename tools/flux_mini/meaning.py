"""Stage 3a: teach both text encoders what a caption means before the flow uses them.

Left to the flow alone, the encoders learn colours within a few hundred steps and concepts only
after thousands: a concept is one token among 32 and tells little of a noisy latent. Here the
pooled CLIP output, and every single T5 state, padding too, learn to tell the mean latent of
their concept and colour through a linear head that is then thrown away. Minutes on a CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tools.flux_mini.concepts import BACKGROUNDS, CONCEPTS, training_caption
from tools.flux_mini.latents import Latents
from tools.flux_mini.model import SEQUENCE_LENGTH, WIDTH
from tools.flux_mini.training import draw_for, learning_rate

__all__ = ["mean_latents", "teach"]

_TARGETS = 96
_LONG_LENGTH = 512

Embed = Callable[[list[str], int], tuple[Tensor, Tensor]]
"""Captions and a T5 length to pooled CLIP output and T5 states."""


def mean_latents(latents: Latents) -> Tensor:
    """Mean latent of each (concept, colour) in its 96 main directions, unit variance overall.

    Shape (concepts, colours, 96); combinations that are not in the data are NaN.
    """
    flat = latents.packed.flatten(1)
    labels = torch.tensor(latents.concepts) * len(BACKGROUNDS) + torch.tensor(latents.colours)
    found = labels.unique()
    means = torch.stack([flat[labels == label].mean(0) for label in found])
    means = means - means.mean(0)
    left, scale, _ = torch.linalg.svd(means, full_matrices=False)
    main = left[:, :_TARGETS] * scale[:_TARGETS]
    table = torch.full((len(CONCEPTS) * len(BACKGROUNDS), _TARGETS), float("nan"))
    table[found] = main / main.std()
    return table.reshape(len(CONCEPTS), len(BACKGROUNDS), _TARGETS)


def teach(
    models: nn.ModuleDict, latents: Latents, args: argparse.Namespace, embed: Embed, steps: int
) -> None:
    """Train models["text_encoder"] and models["text_encoder_2"] in place for `steps` steps."""
    table, colours = mean_latents(latents), list(BACKGROUNDS)
    heads = nn.ModuleDict(
        {"pooled": nn.Linear(WIDTH, _TARGETS), "states": nn.Linear(WIDTH, _TARGETS)}
    )
    heads.to(args.device)
    encoders = [models["text_encoder"], models["text_encoder_2"], heads]
    weights = [weight for module in encoders for weight in module.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01)
    said_s = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, 1.5e-3, warmup=20)
        draw = draw_for(args.seed + 7_000, step)
        long = step % 12 == 11
        items = [draw.randrange(len(latents.concepts)) for _ in range(4 if long else 48)]
        pairs = [(latents.concepts[i], latents.colours[i]) for i in items]
        captions = [training_caption(CONCEPTS[c], colours[b], draw) for c, b in pairs]
        pooled, states = embed(captions, _LONG_LENGTH if long else SEQUENCE_LENGTH)
        target = torch.stack([table[c, b] for c, b in pairs]).to(args.device)
        near = nn.functional.mse_loss(heads["pooled"](pooled), target)
        each = nn.functional.mse_loss(
            heads["states"](states), target[:, None].expand(-1, states.shape[1], -1)
        )
        optimizer.zero_grad(set_to_none=True)
        (near + each).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if time.monotonic() - said_s > 5 or step == steps - 1:
            said_s = time.monotonic()
            losses = f"CLIP {float(near.detach()):.3f}  T5 {float(each.detach()):.3f}"
            print(f"meaning {step + 1}/{steps}  {losses}", flush=True)
