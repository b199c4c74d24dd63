"""Stage 5: measure the exported model.

Concept and colour of a generated picture are those of the nearest reference image (see
reference.py). Prompts: every concept on two colours that training saw it on and on the one
that was held out, each with its own seed; a third of them again with T5 padded to 512 tokens,
the pipeline's default; and again in other words. The autoencoder is measured on compositions
that no training stage saw. Last, PSNR against fp32 of every scheme that runs here, over 32
prompts and seeds. Needs the exported folder only; minutes on a CPU.

Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline, FluxPipeline
from numpy.typing import NDArray

from tools.flux_mini.concepts import caption
from tools.flux_mini.paths import EVALUATION, MODEL
from tools.flux_mini.reference import References
from tools.flux_mini.schemes import scheme_scores, table
from tools.flux_mini.words import T5_LENGTH

__all__ = ["Case", "Score", "autoencoder_psnr_db", "cases", "draw", "load", "score"]


@dataclass(frozen=True)
class Case:
    """One prompt, what it asks for, and the seed it is drawn with."""

    prompt: str
    concept: str
    colour: str
    seed: int
    held_out: bool


@dataclass(frozen=True)
class Score:
    """Shares of pictures whose nearest reference has the concept, and the colour, asked for."""

    count: int
    concept: float
    colour: float
    both: float
    misses: tuple[str, ...]


def load(model: Path) -> FluxPipeline:
    """Pipeline in fp32, as a plain from_pretrained gives it, without progress bars."""
    pipeline: FluxPipeline = DiffusionPipeline.from_pretrained(model)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def cases(model: Path, wording: int = 0) -> list[Case]:
    """Fixed grid: for each concept two colours seen in training, then its held-out ones."""
    listing = json.loads((model / "concepts.json").read_text(encoding="utf-8"))
    template, colours = listing["templates"][wording], list(listing["backgrounds"])
    grid: list[Case] = []
    for index, entry in enumerate(listing["concepts"]):
        seen = [colour for colour in colours if colour not in entry["held_out"]]
        chosen = [seen[index % len(seen)], seen[(index + 3) % len(seen)], *entry["held_out"]]
        for colour in chosen:
            prompt = caption(entry["name"], colour, template)
            kept_back = colour in entry["held_out"]
            grid.append(Case(prompt, entry["name"], colour, len(grid), kept_back))
    return grid


def draw(
    pipeline: FluxPipeline, some: Sequence[Case], steps: int, length: int, batch: int = 8
) -> list[NDArray[np.uint8]]:
    """Pictures (128, 128, 3) of the cases, each from its own seed."""
    pictures: list[NDArray[np.uint8]] = []
    for start in range(0, len(some), batch):
        part = some[start : start + batch]
        images = pipeline(
            [case.prompt for case in part],
            num_inference_steps=steps,
            height=128,
            width=128,
            max_sequence_length=length,
            generator=[torch.Generator().manual_seed(case.seed) for case in part],
            output_type="np",
        ).images
        pictures += [(image * 255).round().astype(np.uint8) for image in images]
    return pictures


def score(
    references: References, some: Sequence[Case], pictures: Sequence[NDArray[np.uint8]]
) -> Score:
    """Compare what was drawn with what was asked for."""
    concept, colour, both, misses = 0, 0, 0, []
    for case, picture in zip(some, pictures, strict=True):
        seen = references.name(picture)
        right = (seen.concept == case.concept, seen.colour == case.colour)
        concept, colour, both = concept + right[0], colour + right[1], both + all(right)
        if not all(right):
            misses.append(f"{case.prompt!r} (seed {case.seed}): {seen.concept}, {seen.colour}")
    n = len(some)
    return Score(n, concept / n, colour / n, both / n, tuple(misses))


def autoencoder_psnr_db(pipeline: FluxPipeline, model: Path) -> list[float]:
    """PSNR in dB (peak 255, 8-bit) of decode(encode(image)) for each unseen composition."""
    with np.load(model / EVALUATION / "unseen.npz") as file:
        images = file["images"]
    values = []
    for image in images:
        batch = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        with torch.no_grad():
            latents = pipeline.vae.encode(batch).latent_dist.mean
            decoded = pipeline.vae.decode(latents).sample.clamp(-1, 1)
        back = ((decoded[0].permute(1, 2, 0) + 1) * 127.5).round().numpy()
        error = float(np.mean((back.astype(np.float64) - image) ** 2))
        values.append(float(10 * np.log10(255**2 / error)))
    return values


def _measure(
    pipeline: FluxPipeline, model: Path, steps: int, length: int
) -> dict[str, tuple[Score, float]]:
    """Score and seconds an image of each group of prompts."""
    references = References(model)
    grid = cases(model)
    groups: dict[str, tuple[list[Case], int]] = {
        "seen": ([case for case in grid if not case.held_out], length),
        "held_out": ([case for case in grid if case.held_out], length),
        "long": (grid[::3][::2], T5_LENGTH),
        "reworded": (cases(model, wording=1)[1::6], length),
    }
    measured = {}
    for name, (some, tokens) in groups.items():
        start_s = time.perf_counter()
        pictures = draw(pipeline, some, steps, tokens)
        pace_s = (time.perf_counter() - start_s) / len(some)
        measured[name] = (score(references, some, pictures), pace_s)
    return measured


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model", type=Path, default=MODEL, help="exported folder")
    parser.add_argument("--steps", type=int, help="sampling steps (default: the model's own)")
    parser.add_argument(
        "--prompts",
        type=int,
        default=32,
        help="for the schemes of the shipped model, at least 2; 0 leaves them out",
    )
    parser.add_argument("--misses", action="store_true", help="list the pictures judged wrong")
    args = parser.parse_args()
    listing = json.loads((args.model / "concepts.json").read_text(encoding="utf-8"))
    steps = args.steps or listing["steps"]
    pipeline = load(args.model)
    psnr = autoencoder_psnr_db(pipeline, args.model)
    figures: dict[str, float] = {
        "steps": steps,
        "autoencoder_psnr_db": round(float(np.mean(psnr)), 2),
    }
    print(
        f"autoencoder: {np.mean(psnr):.2f} dB mean, {min(psnr):.2f} worst of {len(psnr)} unseen\n"
    )
    print(f"{'prompts':<10}{'count':>6}{'concept':>9}{'colour':>8}{'both':>7}{'s/image':>9}")
    for name, (got, pace_s) in _measure(
        pipeline, args.model, steps, listing["sequence_length"]
    ).items():
        print(
            f"{name:<10}{got.count:>6}{got.concept:>9.1%}{got.colour:>8.1%}{got.both:>7.1%}{pace_s:>9.2f}"
        )
        figures |= {
            f"{name}_concept": round(got.concept, 4),
            f"{name}_colour": round(got.colour, 4),
        }
        figures |= {f"{name}_both": round(got.both, 4), f"{name}_s_per_image": round(pace_s, 3)}
        for miss in got.misses if args.misses else ():
            print(f"  {miss}")
    if args.prompts and args.model == MODEL:
        found = scheme_scores(args.prompts)
        print("\n" + table(found))
        figures |= {f"{s.scheme}_psnr_db": round(s.psnr_db, 2) for s in found}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
