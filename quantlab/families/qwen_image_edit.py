"""Qwen-Image-Edit: Qwen-Image that is shown pictures, by its text encoder and as tokens.

diffusers 0.42.1, pipelines/qwenimage/pipeline_qwenimage_edit_plus.py. Each reference is scaled to a
megapixel for the transformer and to 384 x 384 for the text encoder; there must be one.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="qwen-image-edit",
    pipelines=("QwenImageEditPlusPipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "prompt_embeds_mask"),
    scale="true_cfg_scale",
    cfg_from=1.0,
    negative="second call",
    needs_negative=True,
    reference="image",
    needs_reference=True,
    stream="img_in",
    decoder_tensors=18.0,
    encoder_tensors=10.1,
    tile=256,
    as_given=("guidance",),
    labels={"vae": "image decoder"},
)
