"""ERNIE-Image: Ministral's hidden states in a list; an optional language model rewrites the prompt.

diffusers 0.42.1, pipelines/ernie_image/pipeline_ernie_image.py. The prompt is used as it is given.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="ernie-image",
    pipelines=("ErnieImagePipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds",),
    cfg_from=1.0,
    cfg_batched=True,
    negative="second call",
    length=None,
    extra={"use_pe": False},
    stream="x_embedder.proj",
    labels={"vae": "image decoder", "pe": "prompt enhancer"},
)
