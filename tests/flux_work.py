"""FLUX.1-dev's work and what tests of times share."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from quantlab.catalog.gpus import load_gpus
from quantlab.catalog.time import (
    Card,
    Denoiser,
    Encoder,
    Reason,
    Seconds,
    Work,
    card_of,
    denoiser,
)

T5 = Encoder(parameters=4_762_310_656, tokens=512)
DOUBLE, SINGLE, WIDTH = 19, 38, 3072


def flux1() -> list[tuple[str, str, tuple[int, ...]]]:
    """The modules of FLUX.1-dev's transformer, by the names of diffusers 0.42."""
    wide, four = (WIDTH, WIDTH), (4 * WIDTH, WIDTH)
    rows = [("x_embedder", (WIDTH, 64)), ("context_embedder", (WIDTH, 4096))]
    rows += [("proj_out", (64, WIDTH)), ("norm_out.linear", (2 * WIDTH, WIDTH))]
    rows += [("time_text_embed.timestep_embedder.linear_2", wide)]
    for index, part in product(range(DOUBLE), ("norm1", "norm1_context")):
        rows.append((f"transformer_blocks.{index}.{part}.linear", (6 * WIDTH, WIDTH)))
    own = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj")
    for index, part in product(range(DOUBLE), (*own, "to_add_out")):
        rows.append((f"transformer_blocks.{index}.attn.{part}", wide))
    for index, part in product(range(DOUBLE), ("ff", "ff_context")):
        rows.append((f"transformer_blocks.{index}.{part}.net.0.proj", four))
        rows.append((f"transformer_blocks.{index}.{part}.net.2", four[::-1]))
    for index in range(SINGLE):
        name = f"single_transformer_blocks.{index}"
        rows += [(f"{name}.norm.linear", (3 * WIDTH, WIDTH)), (f"{name}.proj_mlp", four)]
        rows += [(f"{name}.attn.{part}", wide) for part in ("to_q", "to_k", "to_v")]
        rows += [(f"{name}.proj_out", (WIDTH, 5 * WIDTH))]
    norms = [("transformer_blocks.0.attn.norm_q", "norm", (128,))]
    return [(name, "linear", shape) for name, shape in rows] + norms


def found(modules: list[tuple[str, str, tuple[int, ...]]]) -> Denoiser:
    one = denoiser(modules)
    assert one is not None
    return one


FLUX = found(flux1())


def work(side: int = 1024, **changes: int) -> Work:
    """FLUX.1-dev at ``side`` x ``side``, 28 steps."""
    usual = Work(FLUX, (side // 16) ** 2, 512, steps=28, decoded_pixels=side**2, encoders=(T5,))
    return replace(usual, **changes)


def card(name: str) -> Card:
    return card_of(load_gpus()[name])


def told(answer: Seconds | Reason) -> Seconds:
    assert isinstance(answer, Seconds), answer
    return answer
