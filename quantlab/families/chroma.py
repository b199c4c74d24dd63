"""Chroma: FLUX.1 without CLIP and with true guidance; T5's tokens and which of them count.

diffusers 0.42.1, pipelines/chroma/pipeline_chroma.py.
"""

from __future__ import annotations

from quantlab.families.family import Family

FAMILY = Family(
    id="chroma",
    pipelines=("ChromaPipeline",),
    encoders=("text_encoder",),
    embeddings=(
        "prompt_embeds",
        "text_ids",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_text_ids",
        "negative_prompt_attention_mask",
    ),
    cfg_from=1.0,
    negative="same call",
    as_given=("txt_ids", "img_ids"),
    labels={"text_encoder": "T5 encoder", "vae": "image decoder"},
    gguf="flux",
)
