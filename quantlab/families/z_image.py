"""Z-Image: Qwen3's hidden states, in lists; any guidance above 0 is true guidance.

diffusers 0.42.1, pipelines/z_image/pipeline_z_image.py. The transformer is handed lists by position
and gives a list, one tensor an image.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="z-image",
    pipelines=("ZImagePipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "negative_prompt_embeds"),
    cfg_from=0.0,
    cfg_batched=True,
    negative="same call",
    stream="all_x_embedder.2-1",
    as_given=("t",),
    labels={"vae": "image decoder"},
    gguf="lumina2",
)
