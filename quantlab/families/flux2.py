"""FLUX.2: hidden states of three layers of Mistral; guidance is an input of the transformer.

diffusers 0.42.1, pipelines/flux2/pipeline_flux2.py. References of up to a megapixel each stand
beside the image as tokens.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="flux2",
    pipelines=("Flux2Pipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "text_ids"),
    stream_tensors=22.0,
    embedded="guidance_embeds",
    reference="image",
    as_given=("txt_ids", "img_ids", "guidance"),
    processors={"tokenizer": "PixtralProcessor"},
    labels={"vae": "image decoder"},
)
