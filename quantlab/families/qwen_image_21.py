"""Qwen-Image 2.1: Qwen3-VL's hidden states, pictures with alpha.

diffusers 0.42.1, pipelines/qwenimage21/pipeline_qwenimage21.py. Its calls have no length argument;
its autoencoder makes 16 pixels a side of each latent.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="qwen-image-2.1",
    pipelines=("QwenImage21Pipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "prompt_embeds_mask", "image_pad_mask"),
    scale="true_cfg_scale",
    cfg_from=1.0,
    negative="second call",
    needs_negative=True,
    length=None,
    reference="image",
    unshown="beside a picture its call takes embeddings only with a mask that it has no name for",
    stream="img_in",
    decoder_tensors=11.2,
    encoder_tensors=11.1,
    processors={"processor": "Qwen3VLProcessor"},
    labels={"vae": "image decoder"},
)
