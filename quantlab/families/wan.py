"""Wan: videos; UMT5's tokens, an autoencoder of 16 pixels a side and four frames.

diffusers 0.42.1, pipelines/wan/pipeline_wan.py. Of the video the first frame is shown. Checkpoints
with two transformers, which share the steps between them, are not taken.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="wan",
    pipelines=("WanPipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "negative_prompt_embeds"),
    cfg_from=1.0,
    negative="same call",
    extra={"output_type": "pil"},
    pixels=32,
    frames=4,
    stream="patch_embedding",
    decoder_tensors=10.6,
    encoder_tensors=3.1,
    as_given=("timestep",),
    labels={"text_encoder": "UMT5 encoder", "vae": "video decoder"},
    gguf="wan",
)
