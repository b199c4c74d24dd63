"""Memory besides the weights: what running takes, and what the driver does.

All sizes follow from the shape tables, the counts of each family and what is asked for (Picture).
Counts are of tensors that live at once; convolutions on a GPU hold more (``COPIES``), which was set
by one published measurement, the only calibration there is. Figures are bytes *allocated*. What
torch *reserves* is more: it keeps freed blocks of the decoder's sizes (36.17 GiB reserved against
33.85 allocated for bf16 FLUX.1-dev), and gives them back before it reports that memory is out.
"""

from __future__ import annotations

from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.decoding import covered, tile, tiled
from quantlab.catalog.sizes.picture import Picture
from quantlab.catalog.sizes.shapes import ModuleShape, component_shapes
from quantlab.errors import CatalogError
from quantlab.families import Family

__all__ = [
    "CONTEXT_BYTES",
    "COPIES",
    "TOKEN_TENSORS",
    "activation_bytes",
    "encoding_bytes",
    "stream_width",
]

TOKEN_TENSORS = 18
"""Tensors of (tokens x hidden width) alive at once, at most, in a text encoder's block: as many as
in FLUX.1's own. Of a denoiser its family says how many (``Family.stream_tensors``)."""

COPIES = 1.61
"""What convolutions on a GPU take over the tensors alive: cuDNN's copies in its own layout.

Set by bf16 FLUX.1-dev at 1024 x 1024, 3.0 tensors alive: 33.851 GiB allocated at the peak, 31.438
loaded (https://github.com/sayakpaul/diffusers-torchao, README, H100). An H200 took 1.5 % less."""

CHANNELS = 3
"""Of what is decoded."""

ENTRY = "encoder.conv_in"
"""The first convolution of every autoencoder's encoder that a family has."""

CONTEXT_BYTES = 512 * 2**20
"""What a process takes of a GPU beside torch's allocations: context, cuBLAS and cuDNN handles.

An assumption, for cards on which it matters. It grows with the GPU's multiprocessors: 0.67 to 0.69
GiB were measured on an H200 (driver 580.159, CUDA 13, data/results/gpu-h200.jsonl), where 2 % of
the peak are kept free beside it; on an RTX 4090 as much would deny what is reported to run."""


def activation_bytes(model: Model, component: str, picture: Picture, item_bytes: int) -> int:
    """Most bytes that running ``component`` takes beside all weights.

    ``item_bytes`` of one activation. Linear in tokens and pixels: attention is taken as fused, as
    torch's scaled_dot_product_attention is. References are encoded one after the other.
    """
    family = model.family
    if component == family.decoder:
        decoding = round(_decoding(model, picture) * item_bytes)
        return max(decoding, encoding_bytes(model, picture, item_bytes))
    shapes = component_shapes(model, component)
    if component in family.denoisers:
        tokens = family.image_tokens(picture.width, picture.height, picture.frames)
        tokens += picture.sequence_length + family.reference_tokens(picture.references)
        passes = picture.passes if family.cfg_batched else 1
        each = family.stream_tensors * stream_width(shapes, family) * tokens * passes
    else:
        each = TOKEN_TENSORS * _embedding_width(shapes) * picture.sequence_length
    return round(each * picture.batch * item_bytes)


def _decoding(model: Model, picture: Picture) -> float:
    """Numbers alive while the images are decoded: of all at once, or of a tile or an image beside
    what is decoded already, and then of what is joined, its parts and the whole."""
    family, p = model.family, picture
    channels = _decoder_channels(component_shapes(model, family.decoder), family)
    each = COPIES * family.decoder_tensors * channels
    side, at_once = tiled(model, p), 1 if p.slicing else p.batch
    done = CHANNELS * p.pixels * p.frames
    sliced = done * p.batch if at_once < p.batch else 0
    if side is None:
        return max(each * p.pixels * at_once + sliced, 2 * sliced)
    one = min(side, p.width) * min(side, p.height)
    tiles = CHANNELS * covered(p.width, side) * covered(p.height, side) * p.frames * at_once
    joining = tiles + 2 * done * at_once
    return max(each * one * at_once + tiles + sliced, joining + sliced, 2 * sliced)


def encoding_bytes(model: Model, picture: Picture, item_bytes: int) -> int:
    """Most bytes that encoding the references takes, one after the other; none without any."""
    if not picture.references:
        return 0
    family = model.family
    for module in component_shapes(model, family.decoder):
        if module.name == ENTRY:
            each = COPIES * family.encoder_tensors * module.weight[0]
            pixels = family.reference_area(picture.references)
            side = tile(model) if picture.tiling else None
            pixels = pixels if side is None else min(pixels, side**2)
            return round(each * pixels * item_bytes)
    raise CatalogError(f"{family.id}: no module {ENTRY!r} tells how wide the encoder begins")


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
    """The width of a text encoder's stream, which its embedding gives, or else its widest layer."""
    embedded = (m.weight[1] for m in shapes if m.kind == "embedding" and len(m.weight) > 1)
    return next(embedded, max((m.weight[0] for m in shapes if m.weight), default=0))


def _decoder_channels(shapes: tuple[ModuleShape, ...], family: Family) -> int:
    """Channels that enter the last up block of an autoencoder's decoder, at full resolution."""
    entering = [m for m in shapes if family.enters_last_up(m.name)]
    if not entering:
        raise CatalogError(f"{family.id}: no module of the decoder is like {family.last_up!r}")
    return entering[-1].weight[1]
