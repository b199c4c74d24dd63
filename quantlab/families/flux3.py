"""FLUX.3 Image Klein: diffusers' modular blocks; a language model rewrites the prompt.

diffusers 0.42.1, modular_pipelines/flux3, models/transformers/transformer_flux3.py. The distilled
pipeline tells the transformer the time that a step jumps to and has no guidance; the base one runs
two passes. Text is eight layers of Qwen3-VL in a window of whole multiples of 80 tokens.

No Linear layer of the transformer has a bias and its norms stay in float32, so that one whose every
Linear is quantized has no number left that tells the pipeline what to compute in: ``proj_out``
stays.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
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
    unshown="its blocks are given text alone here",
    keep=("proj_out",),
    stream="x_embedders.image",
    as_given=("img_ids", "txt_ids"),
    labels={"vae": "image decoder", "prompt_upsampler": "prompt upsampler"},
)
