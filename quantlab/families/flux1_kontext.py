"""FLUX.1 Kontext: FLUX.1 that is also shown a picture, whose tokens stand beside the image's.

diffusers 0.42.1, pipelines/flux/pipeline_flux_kontext.py. A reference is scaled to about a
megapixel; without one it draws from the prompt alone.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="flux1-kontext",
    pipelines=("FluxKontextPipeline",),
    encoders=("text_encoder", "text_encoder_2"),
    embeddings=("prompt_embeds", "pooled_prompt_embeds", "text_ids"),
    embedded="guidance_embeds",
    reference="image",
    as_given=("txt_ids", "img_ids", "guidance"),
    labels={"text_encoder_2": "T5 encoder", "vae": "image decoder"},
)
