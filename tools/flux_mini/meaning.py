"""Stage 3a: teach both text encoders what a caption means before the flow uses them.

Left to the flow alone, the encoders learn colours within a few hundred steps and concepts only
after thousands: a concept is one token among 32, tells little of a noisy latent, and moves the
embeddings by a few per cent of their length. Both are taught directly instead:

- CLIP's pooled output becomes the code of its concept and colour. Codes of two concepts are
  orthogonal; a held-out pair has the sum of two codes that were taught with others.
- Each of T5's first 32 states, padding too, becomes a sketch of one place of the picture: a code of
  the place, and the mean latent of its concept and colour in the two neighbouring patches there.
  Flux's image tokens know where they are only from what they attend to; now they find there what
  to draw. What a state is in other directions is left free.

T5 first learns the sum of the two codes: asked for looks at once, it settles on their mean over
all places.

Minutes on a CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tools.flux_mini.concepts import BACKGROUNDS, CONCEPTS, training_caption
from tools.flux_mini.latents import Latents
from tools.flux_mini.model import SEQUENCE_LENGTH, WIDTH, relative_positions
from tools.flux_mini.training import draw_for, learning_rate

__all__ = ["codes", "looks", "teach"]

_COLOUR_SHARE = 0.2
_LONG_LENGTH = 512
_CODES_SHARE = 0.3
# Which of WIDTH orthogonal directions mean what: concepts and colours, places, looks.
_PLACES = slice(len(CONCEPTS) + len(BACKGROUNDS), len(CONCEPTS) + len(BACKGROUNDS) + 32)
_LOOKS = slice(_PLACES.stop, _PLACES.stop + 128)
_RATE = 2e-3

Embed = Callable[[list[str], int], tuple[Tensor, Tensor]]
"""Captions and a T5 length to pooled CLIP output and T5 states."""


def codes(seed: int) -> Tensor:
    """A code of each (concept, colour), shape (concepts, colours, WIDTH).

    Its mean square is one, the scale which the encoders' last norms give by themselves.
    """
    directions = _directions(seed)
    concepts = directions[: len(CONCEPTS), None] * (1 - _COLOUR_SHARE) ** 0.5
    return concepts + directions[None, len(CONCEPTS) : _PLACES.start] * _COLOUR_SHARE**0.5


def looks(latents: Latents) -> Tensor:
    """Mean latents of each (concept, colour), shape (concepts, colours, 32, 128).

    Each of the 32 has the values of two neighbouring patches; NaN where a pair is not in the data.
    """
    labels = torch.tensor(latents.concepts) * len(BACKGROUNDS) + torch.tensor(latents.colours)
    means = torch.full((len(CONCEPTS) * len(BACKGROUNDS), SEQUENCE_LENGTH, 128), float("nan"))
    for label in labels.unique():
        means[label] = latents.packed[labels == label].mean(0).reshape(SEQUENCE_LENGTH, -1)
    return means.unflatten(0, (len(CONCEPTS), len(BACKGROUNDS)))


def _directions(seed: int) -> Tensor:
    """WIDTH orthogonal vectors of mean square one."""
    noise = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(noise).Q * WIDTH**0.5


def _code_error(states: Tensor, code: Tensor, directions: Tensor) -> Tensor:
    """Of states against code and place, beyond 32 against the code alone."""
    first = (code[:, None] + directions[_PLACES]) * 0.5**0.5
    rest = code[:, None].expand(-1, states.shape[1] - SEQUENCE_LENGTH, -1)
    return _by_place((states - torch.cat([first, rest], dim=1)).square())


def _sketch_error(states: Tensor, look: Tensor, directions: Tensor) -> Tensor:
    """Of states against place and look (n, 32, 128), beyond 32 against neither."""
    told = states @ (directions[_PLACES.start : _LOOKS.stop] / WIDTH**0.5).T
    place = torch.eye(SEQUENCE_LENGTH, device=states.device) * (WIDTH / 2) ** 0.5
    first = torch.cat([place.expand(len(look), -1, -1), look], dim=-1)
    empty = first.new_zeros(len(look), states.shape[1] - SEQUENCE_LENGTH, first.shape[-1])
    return _by_place((told - torch.cat([first, empty], dim=1)).square())


def _by_place(error: Tensor) -> Tensor:
    """Mean over (n, length, values); the first 32 states and the rest count the same."""
    each = error.mean(dim=(0, 2))
    first, rest = each[:SEQUENCE_LENGTH], each[SEQUENCE_LENGTH:]
    return first.mean() + rest.mean() if len(rest) else first.mean()


def teach(
    models: nn.ModuleDict, latents: Latents, args: argparse.Namespace, embed: Embed, steps: int
) -> None:
    """Train models["text_encoder"] and models["text_encoder_2"] in place for `steps` steps."""
    code, look, colours = codes(args.seed), looks(latents), list(BACKGROUNDS)
    directions = _directions(args.seed).to(args.device)
    weights = [list(models[name].parameters()) for name in ("text_encoder", "text_encoder_2")]
    places = relative_positions(models["text_encoder_2"])
    others = [w for part in weights for w in part if w is not places]
    optimizer = torch.optim.AdamW(
        # Biases of attention act on a scale of units, hence their faster rate.
        [{"params": others, "share": 1.0}, {"params": [places], "share": 10.0}],
        lr=_RATE,
        betas=(0.9, 0.98),
        weight_decay=0.0,
        fused=True,
    )
    said_s = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * learning_rate(step, steps, _RATE, warmup=20)
        draw = draw_for(args.seed + 7_000, step)
        long = step % 12 == 11
        items = [draw.randrange(len(latents.concepts)) for _ in range(4 if long else 48)]
        pairs = [(latents.concepts[i], latents.colours[i]) for i in items]
        captions = [training_caption(CONCEPTS[c], colours[b], draw) for c, b in pairs]
        length = _LONG_LENGTH if long else SEQUENCE_LENGTH
        pooled, states = embed(captions, length)
        target = torch.stack([code[c, b] for c, b in pairs]).to(args.device)
        near = nn.functional.mse_loss(pooled, target)
        if step < _CODES_SHARE * steps:
            each = _code_error(states, target, directions)
        else:
            drawn = torch.stack([look[c, b] for c, b in pairs]).to(args.device)
            each = _sketch_error(states, drawn, directions)
        optimizer.zero_grad(set_to_none=True)
        (near + each).backward()
        for part in weights:
            nn.utils.clip_grad_norm_(part, 1.0)
        optimizer.step()
        if time.monotonic() - said_s > 5 or step == steps - 1:
            said_s = time.monotonic()
            losses = f"CLIP {float(near.detach()):.3f}  T5 {float(each.detach()):.3f}"
            print(f"meaning {step + 1}/{steps}  {losses}", flush=True)
