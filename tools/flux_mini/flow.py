"""Stage 3: teach both text encoders, then train the transformer to draw latents from captions.

Rectified flow: x = (1 - t) data + t noise, and the transformer learns noise - data. The text
encoders are taught first (meaning.py) and then left alone. They are called just as FluxPipeline
calls them, without a mask, so the model attends to padding; most steps pad T5's tokens to 32,
some to the pipeline's default of 512.
"""

from __future__ import annotations

import argparse
import copy
import random
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxPipeline
from torch import Tensor, nn

from tools.flux_mini import model
from tools.flux_mini.autoencoder import load_averaged
from tools.flux_mini.concepts import BACKGROUNDS, CONCEPTS, caption, held_out, training_caption
from tools.flux_mini.data import contact_sheet
from tools.flux_mini.latents import Latents, cached_latents
from tools.flux_mini.meaning import teach
from tools.flux_mini.paths import WORK
from tools.flux_mini.training import Progress, Run, draw_for, learning_rate, noise_for
from tools.flux_mini.words import T5_LENGTH, clip_tokenizer, t5_tokenizer

__all__ = ["CHECKPOINT", "load_averaged_flow"]

CHECKPOINT = "flow.pt"
_PARTS = ("transformer", "text_encoder", "text_encoder_2")
_LONG_EVERY = 15
_LONG_BATCH = 6


def _new_models(seed: int) -> nn.ModuleDict:
    torch.manual_seed(seed)
    transformer = model.transformer()
    model.gaussian_(transformer, seed, modulation=0.1)
    parts = (transformer, model.clip_encoder(), model.t5_encoder())
    return nn.ModuleDict(dict(zip(_PARTS, parts, strict=True)))


def _pipeline(models: nn.ModuleDict, vae: AutoencoderKL, latents: Latents) -> FluxPipeline:
    vae.register_to_config(scaling_factor=latents.scaling_factor, shift_factor=latents.shift_factor)
    transformer, text_encoder, text_encoder_2 = (models[name] for name in _PARTS)
    return model.assemble(transformer, text_encoder, text_encoder_2, vae)


def load_averaged_flow(work: Path) -> FluxPipeline:
    """Whole pipeline with the averaged weights of both training stages."""
    vae = load_averaged(work)
    models = _new_models(0)
    models.load_state_dict(torch.load(work / CHECKPOINT, weights_only=True)["averaged"])
    return _pipeline(models.eval(), vae, cached_latents(work, vae, 0, "cpu"))


class _Text:
    """Captions to embeddings, as FluxPipeline makes them."""

    def __init__(self, models: nn.ModuleDict, device: str) -> None:
        self._models, self._device = models, device
        self._clip, self._t5 = clip_tokenizer(), t5_tokenizer()

    def __call__(self, captions: list[str], length: int) -> tuple[Tensor, Tensor]:
        """Pooled CLIP output (n, 256) and T5 states (n, length, 256)."""
        # CLIP attends only backwards and pools at the end token, so the padding up to 77 that
        # the pipeline adds after it changes nothing: the longest caption's length will do.
        clip_ids = self._clip(captions, padding="longest", return_tensors="pt").input_ids
        t5_ids = self._t5(
            captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        pooled = self._models["text_encoder"](clip_ids.to(self._device)).pooler_output
        return pooled, self._models["text_encoder_2"](t5_ids.to(self._device))[0]


def _times(count: int, noise: torch.Generator) -> Tensor:
    """Logit-normal times; three in ten are near the noise, where sampling decides what to draw."""
    times = torch.sigmoid(torch.randn(count, generator=noise))
    early = 1.0 - 0.35 * torch.rand(count, generator=noise)
    return torch.where(torch.rand(count, generator=noise) < 0.3, early, times)


def _loss(
    models: nn.ModuleDict, text: _Text, latents: Latents, args: argparse.Namespace, step: int
) -> Tensor:
    draw, noise = draw_for(args.seed, step), noise_for(args.seed, step)
    long = step % _LONG_EVERY == _LONG_EVERY - 1
    count, length = (_LONG_BATCH, T5_LENGTH) if long else (args.batch, model.SEQUENCE_LENGTH)
    items = [draw.randrange(len(latents.concepts)) for _ in range(count)]
    colours = list(BACKGROUNDS)
    captions = [
        training_caption(CONCEPTS[latents.concepts[i]], colours[latents.colours[i]], draw)
        for i in items
    ]
    data = latents.packed[items]
    start = torch.randn(data.shape, generator=noise)
    times = _times(count, noise)
    mixed = torch.lerp(data, start, times[:, None, None]).to(args.device)
    side = model.IMAGE_SIZE // 16
    # Matrix products in bf16 where the processor has them; weights and sums stay in float32.
    with torch.no_grad():
        pooled, states = text(captions, length)
    with torch.autocast(args.device, torch.bfloat16, enabled=args.bf16):
        flow = models["transformer"](
            hidden_states=mixed,
            timestep=times.to(args.device),
            encoder_hidden_states=states,
            pooled_projections=pooled,
            txt_ids=torch.zeros(length, 3, device=args.device),
            img_ids=FluxPipeline._prepare_latent_image_ids(
                1, side, side, args.device, torch.float32
            ),
            return_dict=False,
        )[0]
    return nn.functional.mse_loss(flow.float(), (start - data).to(args.device))


def _sample(pipeline: FluxPipeline, file: Path) -> None:
    """Contact sheet: 24 seen and 8 held-out combinations."""
    draw = random.Random(5)
    prompts = []
    for position in range(32):
        index = position * len(CONCEPTS) // 32
        seen = [colour for colour in BACKGROUNDS if colour not in held_out(index)]
        colour = held_out(index)[0] if position >= 24 else draw.choice(seen)
        prompts.append(caption(CONCEPTS[index].name, colour))
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        prompts,
        num_inference_steps=model.STEPS,
        height=model.IMAGE_SIZE,
        width=model.IMAGE_SIZE,
        max_sequence_length=model.SEQUENCE_LENGTH,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images
    pixels = [(image * 255).round().astype("uint8") for image in images]
    contact_sheet(pixels, 8).save(file)


def train(args: argparse.Namespace) -> None:
    """Train to args.steps, resuming from the checkpoint where there is one."""
    vae = load_averaged(args.work)
    latents = cached_latents(args.work, vae, 0, args.device)
    models = _new_models(args.seed).to(args.device)
    weights = list(models["transformer"].parameters())
    optimizer = torch.optim.AdamW(
        weights, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    averaged = copy.deepcopy(models).requires_grad_(False).eval()
    run = Run(models, averaged, optimizer, args.work / CHECKPOINT, decay=0.999)
    run.resume()
    text = _Text(models, args.device)
    if run.step == 0:
        teach(models, latents, args, text, args.meaning_steps)
        averaged.load_state_dict(models.state_dict())
    if args.compile:
        models["transformer"].compile(dynamic=False)  # two shapes: 32 and 512 text tokens
    progress = Progress(run, args.steps, args.work / "flow-loss.png")
    while run.step < args.steps:
        rate = learning_rate(run.step, args.steps, args.rate, warmup=150)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _loss(models, text, latents, args, run.step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        run.step += 1
        run.average()
        progress.tick(float(loss.detach()))
        if run.step % 400 == 0 or run.step == args.steps:
            _sample(_pipeline(averaged, vae, latents), args.work / f"flow-{run.step:05d}.png")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--work", type=Path, default=WORK, help="scratch folder")
    parser.add_argument("--steps", type=int, default=5000, help="length of the whole schedule")
    parser.add_argument("--meaning-steps", type=int, default=1000, help="steps of stage 3a")
    parser.add_argument("--batch", type=int, default=32, help="captions and images in a step")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="matrix products in bf16")
    parser.add_argument("--compile", action="store_true", help="compile; needs a C++ compiler")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
