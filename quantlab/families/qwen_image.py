"""Qwen-Image: Qwen2.5-VL's hidden states and their mask; true guidance by an argument of its own.

diffusers 0.42.1, pipelines/qwenimage/pipeline_qwenimage.py. Without a negative prompt, which may be
empty, there is no second pass whatever the scale.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="qwen-image",
    pipelines=("QwenImagePipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "prompt_embeds_mask"),
    scale="true_cfg_scale",
    cfg_from=1.0,
    negative="second call",
    needs_negative=True,
    stream="img_in",
    decoder_tensors=18.0,
    encoder_tensors=10.1,
    as_given=("guidance",),
    labels={"vae": "image decoder"},
    gguf="qwen_image",
)
