"""FLUX.3 Image Klein: diffusers' modular blocks; a language model rewrites the prompt.

diffusers 0.42.1, modular_pipelines/flux3, models/transformers/transformer_flux3.py. The distilled
pipeline tells the transformer the time that a step jumps to and has no guidance; the base one runs
two passes. Text is eight layers of Qwen3-VL in a window of whole multiples of 80 tokens.

No Linear layer of the transformer has a bias and its norms stay in float32, so that one whose every
Linear is quantized has no number left that tells the pipeline what to compute in: ``proj_out``
stays. A reference goes through the autoencoder and is tokens beside the image's.
"""

from __future__ import annotations

from quantlab.families.family import Family

__all__ = ["FAMILY"]

WHOLE = 4 * 1024 * 1024
"""Pixels up to which a single reference is kept whole."""


class _Flux3(Family):
    def reference_area(self, references: int) -> int:
        return WHOLE if references == 1 else super().reference_area(references)


FAMILY = _Flux3(
    id="flux3",
    pipelines=("Flux3DistilledModularPipeline", "Flux3ModularPipeline"),
    modular=True,
    encoders=("prompt_upsampler", "text_encoder"),
    embeddings=("prompt_embeds", "negative_prompt_embeds"),
    stream_tensors=25.0,
    cfg_from=1.0,
    negative="same call",
    writes="max_new_tokens",
    reference="image",
    text_alone=("prompt_upsampler",),
    keep=("proj_out",),
    stream="x_embedders.image",
    as_given=("img_ids", "txt_ids", "image_cond_ids"),
    labels={"vae": "image decoder", "prompt_upsampler": "prompt upsampler"},
)
