"""Memory besides the weights: what running takes, and what the driver does.

All sizes follow from the shape tables and the picture's size. Two counts carry the estimate, one
for token models and one for the autoencoder; the latter is set by one published measurement, the
only calibration there is. Figures are bytes *allocated*. What torch *reserves* is more: it keeps
freed blocks of the decoder's sizes (36.17 GiB reserved against 33.85 allocated for bf16
FLUX.1-dev), and gives them back before it reports that memory is out.
"""

from __future__ import annotations

from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.shapes import ModuleShape, component_shapes
from quantlab.errors import CatalogError
from quantlab.families import Family

__all__ = ["CONTEXT_BYTES", "DECODER_TENSORS", "TOKEN_TENSORS", "activation_bytes", "stream_width"]

TOKEN_TENSORS = 18
"""Tensors of (tokens x hidden width) alive at once, at most, in a transformer block.

Counted in FLUX's single block (diffusers, transformer_flux.py) while rotary embeddings are
applied: stream, its copy and its norm (3), the MLP's hidden state of 4 widths (4), q, k and v
(3), and the fp32 copies of one of them and of its rotated half, 2 widths each (8)."""

DECODER_TENSORS = 4.83
"""Tensors of (pixels x channels entering the last up block) alive at once in the decoder.

Counted: residual, convolution's input and output and cuDNN's copies of both in its own layout, 4
to 5. Set by bf16 FLUX.1-dev at 1024 x 1024: 33.851 GiB allocated at the peak, 31.438 loaded
(https://github.com/sayakpaul/diffusers-torchao, README, H100)."""

CONTEXT_BYTES = 512 * 2**20
"""What a process takes of a GPU beside torch's allocations: context, cuBLAS and cuDNN handles.

An assumption on the safe side, not a measurement; it differs with driver and GPU."""


def activation_bytes(
    model: Model, component: str, *, width: int, height: int, sequence_length: int, item_bytes: int
) -> int:
    """Most bytes that running ``component`` takes beside all weights, for one image.

    Sizes in pixels, ``sequence_length`` in text tokens, ``item_bytes`` of one activation. Linear
    in tokens and pixels: attention is taken as fused, as torch's scaled_dot_product_attention is.
    """
    shapes, family = component_shapes(model, component), model.family
    if component == family.decoder:
        channels = _decoder_channels(shapes, family)
        return round(DECODER_TENSORS * channels * width * height * item_bytes)
    if component in family.denoisers:
        tokens = sequence_length + family.image_tokens(width, height)
        return TOKEN_TENSORS * stream_width(shapes, family) * tokens * item_bytes
    return TOKEN_TENSORS * _embedding_width(shapes) * sequence_length * item_bytes


def stream_width(shapes: tuple[ModuleShape, ...], family: Family) -> int:
    """The width of a denoiser's stream of tokens.

    Raises:
        CatalogError: the family's module is not among ``shapes``.
    """
    for module in shapes:
        if module.name == family.stream and module.weight:
            return module.weight[0]
    raise CatalogError(f"{family.id}: no module {family.stream!r} tells how wide the denoiser is")


def _embedding_width(shapes: tuple[ModuleShape, ...]) -> int:
    """The width of a text encoder's stream: what its embedding gives."""
    return next(m.weight[1] for m in shapes if m.kind == "embedding" and m.weight)


def _decoder_channels(shapes: tuple[ModuleShape, ...], family: Family) -> int:
    """Channels that enter the last up block of an autoencoder's decoder, at full resolution."""
    entering = [m for m in shapes if family.enters_last_up(m.name)]
    if not entering:
        raise CatalogError(f"{family.id}: no module of the decoder is like {family.last_up!r}")
    return entering[-1].weight[1]
