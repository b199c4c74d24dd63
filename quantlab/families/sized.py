"""What an image, a video and a picture to go by take in a family's pipelines, counted.

Bytes and seconds follow from it in the catalogue (catalog/sizes, catalog/time).
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["Sized"]


@dataclass(frozen=True, kw_only=True)
class Sized:
    """Tokens of the denoiser, and tensors that are alive at once. Modules have diffusers' names."""

    pixels: int = 16
    """Pixels of width or height for each image token: autoencoder times packing."""

    frames: int | None = None
    """Frames of a video for each token in time, or None where it makes pictures."""

    stream: str = "x_embedder"
    """The denoiser's module whose outputs are as wide as its stream."""

    last_up: str = "decoder.up*.resnets.0.conv1"
    """Pattern of the decoder's convolutions that enter an up block; the last one counts."""

    stream_tensors: float = 18.0
    """Tensors of (tokens x width of the stream) alive at once, at most, in a denoiser's block.

    Counted in FLUX.1's single block (diffusers, transformer_flux.py) while rotary embeddings are
    applied: stream, its copy and its norm (3), the MLP's hidden state of 4 widths (4), q, k and v
    (3), and the fp32 copies of one of them and of its rotated half, 2 widths each (8). Measured in
    bf16 at 1024 x 1024 on an H200 (data/results/gpu-h200.jsonl): 17.3 of FLUX.1, 15.8 of Z-Image,
    21.7 of FLUX.2-klein-4B, 24.2 of FLUX.3-klein."""

    decoder_tensors: float = 3.0
    """Tensors of (pixels x channels that enter the last up block) alive at once in the decoder,
    at most: counted on torch's meta device."""

    encoder_tensors: float = 5.0
    """The same of the autoencoder's encoder, of the channels that its first convolution gives."""

    reference_pixels: int = 1024 * 1024
    """What the pipeline scales a reference down to, at most; see ``reference_area``."""

    def image_tokens(self, width: int, height: int, frames: int = 1) -> int:
        """Tokens that the denoiser has for one image, or video, of this size in pixels."""
        times = 1 if self.frames is None else 1 + (frames - 1) // self.frames
        return (width // self.pixels) * (height // self.pixels) * times

    def reference_area(self, references: int) -> int:  # noqa: ARG002
        """Pixels that each of ``references`` pictures is scaled down to, at most."""
        return self.reference_pixels

    def reference_tokens(self, references: int) -> int:
        """Tokens that ``references`` pictures stand for beside the image's, at most."""
        return references * (self.reference_area(references) // self.pixels**2)

    def enters_last_up(self, module: str) -> bool:
        """Whether ``module`` of the decoder is a convolution that enters an up block."""
        return fnmatchcase(module, self.last_up)
