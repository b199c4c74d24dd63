"""Krea 2: twelve layers of Qwen3-VL, kept apart; any guidance above 0 is true guidance.

diffusers 0.42.1, pipelines/krea2/pipeline_krea2.py.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="krea-2",
    pipelines=("Krea2Pipeline",),
    encoders=("text_encoder",),
    embeddings=("prompt_embeds", "prompt_embeds_mask"),
    cfg_from=0.0,
    negative="second call",
    stream="img_in",
    decoder_tensors=18.0,
    encoder_tensors=10.1,
    as_given=("position_ids",),
    labels={"vae": "image decoder"},
)
